"""The `her2core.analysis/1` document: what `analyze --json` writes, one entry an image.

Boxes and positions are pixels of the original image. Whole numbers are exact; the derived ones (`her2_per_nucleus`,
`cep17_per_nucleus`, `ratio`) are floats for convenience and null where they are undefined; `group` is decided on the
whole numbers (domain.md 1.3).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from her2core.records import RegionAnalysis, Tally, models_dict
from her2core.scoring.groups import group
from her2core.scoring.tally import cep17_per_nucleus, copy_number, exclusions, ratio, tally

__all__ = ["NOT_A_RESULT", "SCHEMA", "ImageResult", "analysis_document", "analysis_json", "pooled_tally", "tally_dict"]

SCHEMA = "her2core.analysis/1"

NOT_A_RESULT = "per image, for comparison with the paper; not a result of a case"


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image given to `analyze`: its analysis, or why there is none. `notes` is advice about the image."""

    image: str
    analysis: RegionAnalysis | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.analysis is None) == (self.error is None):
            raise ValueError("an image has either an analysis or an error")


def tally_dict(value: Tally) -> dict[str, Any]:
    """A tally with the numbers that follow from it; null where they are undefined."""
    return {
        "n": value.n,
        "her2": value.her2,
        "cep17": value.cep17,
        "her2_per_nucleus": _number(copy_number(value)),
        "cep17_per_nucleus": _number(cep17_per_nucleus(value)),
        "ratio": _number(ratio(value)),
        "group": group(value),
    }


def pooled_tally(results: Iterable[ImageResult]) -> Tally:
    """The tally over all images that could be analysed."""
    return sum((tally(r.analysis.nuclei) for r in results if r.analysis is not None), Tally(0, 0, 0))


def analysis_document(results: Sequence[ImageResult]) -> dict[str, Any]:
    """The document for `results`, ready for `json.dumps`.

    `models` are those of the analyses: one run uses one set of models. Its `note` says what the groups are not.
    """
    models: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.analysis is not None:
            models |= models_dict(result.analysis.models)
    return {
        "schema": SCHEMA,
        "models": models,
        "note": f"Groups are {NOT_A_RESULT}.",
        "images": [_image(result) for result in results],
        "tally": tally_dict(pooled_tally(results)),
    }


def analysis_json(results: Sequence[ImageResult]) -> str:
    """The document as text, UTF-8 and strict JSON (no NaN), with a newline at its end."""
    return json.dumps(analysis_document(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _image(result: ImageResult) -> dict[str, Any]:
    if result.analysis is None:
        return {"image": result.image, "error": result.error}
    analysis = result.analysis
    return {
        "image": result.image,
        "width": analysis.width_px,
        "height": analysis.height_px,
        "quality": {name: _finite(measure) for name, measure in analysis.quality.items()},
        "notes": list(result.notes),
        "nuclei": [nucleus.to_dict() for nucleus in analysis.nuclei],
        "excluded": {reason.value: count for reason, count in exclusions(analysis.nuclei).items()},
        "device": analysis.device,
        "seconds": round(analysis.seconds, 3),
        "tally": tally_dict(tally(analysis.nuclei)),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _number(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
