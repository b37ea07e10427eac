"""A second renderer of HER2 FISH regions, kept out of training: it only measures how far the models carry over.

It shares no drawing code with `her2core.training.render`: outlines are level sets warped by random fields that press
against one another, chromatin is a thresholded random field seen through the thickness of the nucleus, light is
defocused by depth and counted as photons by a camera. Nothing in her2core may import it.
"""

from benchmarks.second_style.dataset import render_dataset_second
from benchmarks.second_style.region import render_region_second

__all__ = ["render_dataset_second", "render_region_second"]
