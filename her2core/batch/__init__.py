"""Archives and trials: folders of region images through a pool of workers, one result an image, as Parquet.

`run` is the whole of it. The workers are processes of this machine, or actors of Ray Data here or on a cluster; which
of them changes nothing in the results.
"""

from her2core.batch.inventory import IMAGE_SUFFIXES, Found, take_stock
from her2core.batch.results import ResultFolder, read_results
from her2core.batch.run import ENGINES, Summary, ray_is_installed, run
from her2core.batch.work import Analyser, Item, ModelRecipe, Recipe

__all__ = [
    "ENGINES",
    "IMAGE_SUFFIXES",
    "Analyser",
    "Found",
    "Item",
    "ModelRecipe",
    "Recipe",
    "ResultFolder",
    "Summary",
    "ray_is_installed",
    "read_results",
    "run",
    "take_stock",
]
