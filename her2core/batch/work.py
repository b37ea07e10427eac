"""What a worker does with one image: read it, make sure that it is the one that was meant, analyse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from her2core.errors import Her2CoreError
from her2core.exchange.analysis import ImageResult
from her2core.imaging import DEFAULT_LIMITS, ImageLimits, PixelsRGB, WindowedPixels, open_image
from her2core.records import RegionAnalysis, models_dict

__all__ = ["MAX_ATTEMPTS", "Analyser", "Item", "ModelRecipe", "Recipe", "analyse_file", "gave_up"]

MAX_ATTEMPTS = 3
"""So often an image may end the process that works on it; then the image is at fault, and has an error as result."""

_CHANGED = "The file was changed while the batch ran. Run the batch again."

Analyser = Callable[[PixelsRGB | WindowedPixels], RegionAnalysis]


@dataclass(frozen=True, slots=True)
class Item:
    """An image that waits: where the file is, how it is called in the results, and the SHA-256 of its bytes."""

    path: str
    name: str
    sha256: str


class Recipe(Protocol):
    """How images are analysed. Travels to the workers, so it can be pickled; `open` is called once in each of them."""

    @property
    def limits(self) -> ImageLimits:
        """What is refused before a pixel is decoded."""

    def identity(self) -> dict[str, object]:
        """What two runs into one folder must have in common, under "models" those that each analysis names."""

    def open(self) -> Analyser:
        """Load the models."""


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """The models of a folder. `threads` is how many each worker may use; 0 leaves torch its own choice."""

    weights_dir: Path
    device: str = "auto"
    counting: str = "density"
    clusters: bool = False
    limits: ImageLimits = DEFAULT_LIMITS
    threads: int = 0

    def identity(self) -> dict[str, object]:
        """Models, way of counting, and what was said of the images."""
        from her2core.models import cards_of, used_models

        models = models_dict(used_models(cards_of(self.weights_dir), self.counting))
        return {"models": models, "counting": self.counting, "clusters": self.clusters}

    def open(self) -> Analyser:
        """As `pipeline.load_models`, whose errors it raises."""
        import torch

        from her2core import pipeline

        if self.threads:
            torch.set_num_threads(self.threads)
        models = pipeline.load_models(self.weights_dir, self.device, self.counting)

        def analyse(pixels_rgb: PixelsRGB | WindowedPixels) -> RegionAnalysis:
            return pipeline.analyse(pixels_rgb, models, clusters_expected=self.clusters)

        return analyse


def analyse_file(item: Item, analyse: Analyser, limits: ImageLimits) -> ImageResult:
    """The analysis of a file, or in words why there is none. Whatever an image does to a library, this returns."""
    try:
        with open_image(Path(item.path), limits) as image:
            if image.sha256 != item.sha256:
                return ImageResult(item.name, error=_CHANGED)
            return ImageResult(item.name, analyse(image.pixels_rgb), notes=image.notes)
    except Her2CoreError as error:
        return ImageResult(item.name, error=str(error))
    except OSError as error:
        return ImageResult(item.name, error=f"The file cannot be read: {error.strerror or error}.")
    except Exception as error:
        return ImageResult(item.name, error=f"The analysis failed unexpectedly ({type(error).__name__}: {error}).")


def gave_up(item: Item) -> ImageResult:
    """The result of an image that ended its worker too often."""
    return ImageResult(
        item.name,
        error=f"The process that analysed this image ended {MAX_ATTEMPTS} times, so the image is left out. It may need "
        "more memory than there is: analyse it alone, or export a smaller region.",
    )
