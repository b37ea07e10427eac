"""Synthetic HER2 FISH regions with exact truth: boxes, counts and signal positions.

`scene` decides what is there, `optics` how it looks, `biology` how many signals make which group. Nothing in a
truth is invisible: faint spots are painted, but not counted, and `visibility` measures the finished image.
"""

from her2core.training.render.dataset import RenderedRegion, render_dataset, render_region

__all__ = ["RenderedRegion", "render_dataset", "render_region"]
