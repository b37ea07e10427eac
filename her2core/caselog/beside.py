"""What files beside the case log share with it: the laboratory's ledger, made from its rows, and the queue of analyses.

Rows as the case log keeps them, read into records; keys and moments as it writes them; errors of SQLite in its words.
"""

from her2core.caselog._codec import key_of, moment
from her2core.caselog._database import in_words
from her2core.caselog._rows import Row, analysis_of, correction_of, rows

__all__ = ["Row", "analysis_of", "correction_of", "in_words", "key_of", "moment", "rows"]
