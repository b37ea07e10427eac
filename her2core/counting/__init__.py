"""Stage 2: signals of each nucleus, by regression (Xue et al. 2023) and by density (Höfener et al. 2019)."""

from her2core.counting.counter import Count, Counter
from her2core.counting.judgement import nucleus_miscounted

__all__ = ["Count", "Counter", "nucleus_miscounted"]
