"""What a model's card says, in a laboratory's words: rows of what is told and its value, units in the words.

Names that are not known here, of fine-tuned, older or newer cards, stay as they are; the card itself is for engineers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["arithmetic", "contributions", "entries", "facts", "for_engineers", "measures", "settings"]

Row = tuple[str, str]

_WAYS = {"peaks": "by single peaks", "integral": "by the map's sum", "regressed": "by regression"}
_CHANNELS = {"her2": "HER2", "cep17": "CEP17"}
_NUCLEI = {"plain": "in nuclei without clusters", "clustered": "in clustered nuclei"}
_ERRORS = {"mae": "mean error, signals", "bias": "bias, signals"}

_AP_50 = "AP@0.5, recall and precision in one number, boxes that overlap by half (1 is perfect)"
_AP_75 = "AP@0.75, the same with boxes that overlap by three quarters"

# In the order in which they are shown. What ends in % is a share on the card and a percentage on the page.
_MEASURES = {
    "validation_recall": "Nuclei that were found (recall), %",
    "validation_precision": "Boxes found that hold a nucleus (precision), %",
    "validation_ap50": _AP_50,
    "validation_ap75": _AP_75,
    "region her2 off": "HER2 of a whole region: mean error, %",
    "region cep17 off": "CEP17 of a whole region: mean error, %",
    **{
        f"{way} {channel} {kind} {error}": f"{_CHANNELS[channel]} {_NUCLEI[kind]}, {_WAYS[way]}: {_ERRORS[error]}"
        for way, channel, kind, error in itertools.product(_WAYS, _CHANNELS, _NUCLEI, _ERRORS)
    },
    "score": "Errors taken together, by which the best of the training was chosen (0 is best)",
}
_SETTINGS = {
    "target_nucleus_px": "Width to which a typical nucleus is scaled, pixels",
    "score_threshold": "Least score, as the network gives it, of a nucleus that is shown, %",
    "nms_iou": "Overlap (shared by joint area) above which two boxes are one nucleus, %",
    "nucleus_px": "Width to which a nucleus is scaled, pixels",
    "crop_px": "Side of what is looked at around it, pixels",
    "density_sigma_px": "Size of a signal in the map (standard deviation), pixels",
    "peak_threshold": "Least height of a single peak, in signals: HER2, CEP17",
    "integral_gain": "Factor on the map's sum: HER2, CEP17",
    "cluster, threshold": "Chance from which HER2 is taken for clustered, %",
    "doubt, threshold": "Chance of a wrong count from which a nucleus is uncertain, %",
    "systematic_error, her2": "Error that a region's nuclei share: HER2 without clusters, %",
    "systematic_error, her2_clustered": "Error that a region's nuclei share: clustered HER2, %",
    "systematic_error, cep17": "Error that a region's nuclei share: CEP17, %",
}
_FINGERPRINT = "Fingerprint of the data (SHA-256 begins)"
_FACTS = {
    "kind": "Kind of images",
    "training_images": "Images that it learned from",
    "training_nuclei": "Nuclei that it learned from",
    "validation_images": "Images kept back to judge it",
    "validation_nuclei": "Nuclei kept back to judge it",
    "images": "Images",
    "nuclei": "Nuclei",
    "ap50": f"Then: {_AP_50}",
    "ap75": f"Then: {_AP_75}",
    "truth_sha256": _FINGERPRINT,
}
_CONTRIBUTIONS = {
    "final": "The count that is given",
    "peaks": "Single peaks",
    "integral": "The map's sum",
    "regression": "Regression",
    "cluster": "Clustered or not",
    "cluster estimate": "HER2 in clusters",
    "doubt": "Doubt",
    "context": "Stains of the region",
    "field": "Look of the region",
}
_CODE = re.compile(r"\s*\(`[^`]*`\)|`")
_MODULE = re.compile(r"\bher2core(\.\w+)+")


def measures(part: Any) -> list[Row]:
    """How well a model did, as its card says; what is not known here comes last, under its own name."""
    return _told(part, _MEASURES) + _untold(part, _MEASURES)


def settings(config: Any) -> list[Row]:
    """What of a model's configuration tells a laboratory something."""
    return _told(config, _SETTINGS)


def facts(part: Any) -> list[Row]:
    """What a model learned from or was adjusted on."""
    rows = _told(part, _FACTS) + _untold(part, _FACTS)
    return [
        (words, text[:12] if words == _FINGERPRINT else _MODULE.sub("her2core", text))  # 12 digits, as of models
        for words, text in rows
    ]


def contributions(part: Any) -> list[Row]:
    """What each way of counting gives, without the names of the code."""
    rows = _told(part, _CONTRIBUTIONS) + _untold(part, _CONTRIBUTIONS)
    return [(words, _CODE.sub("", text)) for words, text in rows]


def arithmetic(card: Mapping[str, Any]) -> str:
    """In what numbers the network of this card works."""
    if _ranges_of(card) is None:
        return "The network works in 32-bit floating point."
    return (
        "The network works in 8 bits: quicker than in 32-bit floating point, and to the same results on other machines."
    )


def for_engineers(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card under its own names; of the ranges of its layers only how many there are."""
    from her2core.eight_bits import RANGES  # torch takes seconds to import; only the cards wait for it

    ranges = _ranges_of(card)
    if ranges is None:
        return dict(card)
    number = len(ranges) if isinstance(ranges, Mapping) else "?"
    return {**card, "config": {**card["config"], RANGES: f"of {number} layers, in the card's file"}}


def entries(value: Any, prefix: str = "") -> Iterator[Row]:
    """A part of a card as rows of name and value; what is nested gets its names joined."""
    return ((name, _written(found)) for name, found in _flat(value, prefix))


def _ranges_of(card: Mapping[str, Any]) -> Any:
    from her2core.eight_bits import RANGES

    config = card.get("config")
    return config.get(RANGES) if isinstance(config, Mapping) else None


def _told(part: Any, names: Mapping[str, str]) -> list[Row]:
    found = dict(_flat(part))
    return [(words, _with_unit(words, found[name])) for name, words in names.items() if name in found]


def _untold(part: Any, names: Mapping[str, str]) -> list[Row]:
    return [(name, text) for name, text in entries(part) if name not in names]


def _with_unit(words: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _written(value)
    if words.endswith("%"):
        return _written(100.0 * value)
    return f"{value:+.4g}" if words.endswith(_ERRORS["bias"]) else _written(value)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for name, inner in value.items():
        yield from _flat(inner, f"{prefix}, {name}" if prefix else str(name))


def _written(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        rows = bool(value) and all(isinstance(v, list | tuple) for v in value)
        return "; ".join(" × ".join(map(_written, v)) for v in value) if rows else ", ".join(map(_written, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
