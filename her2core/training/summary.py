"""From readings of many regions to the numbers of an evaluation, as plain dictionaries for evaluation.json.

The same function judges her2core and its peers; what a method does not state (ways of counting, doubt) is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2core.counting import nucleus_miscounted
from her2core.detection.metrics import PrecisionRecall, curve_of, verdicts
from her2core.records import Nucleus, SystematicError, Tally
from her2core.scoring import (
    Compared,
    bootstrap,
    group,
    measured_systematic_error,
    scored_counts,
    shared_errors,
    tally,
)
from her2core.training.measures import (
    Bin,
    auroc,
    brier,
    calibration_error,
    count_errors,
    group_agreement,
    group_margin,
    reader_accuracy,
    reliability,
    spread,
    strata,
    thirds,
    wilson,
)
from her2core.training.readings import WAYS, Reading, TrueNucleus, TrueRegion, match_nuclei, recounted, true_tally

__all__ = [
    "MARGIN_CUTS",
    "Matched",
    "Read",
    "compared",
    "matched_nuclei",
    "plain",
    "score_bins",
    "summarise",
    "systematic_error",
]

CHANNELS = ("her2", "cep17")
IOUS = tuple(float(iou) for iou in np.arange(0.5, 0.96, 0.05))
KINDS = {"not clustered": False, "clustered": True}
# Relative distance of the true tally from the nearest group border.
MARGIN_CUTS = (0.02, 0.05, 0.10)
# Stated cuts of conditions, so that sets can be compared; others are cut in thirds of the set.
CONDITION_CUTS: dict[str, tuple[float, ...]] = {
    "nucleus_px": (60.0, 100.0),
    "crowding": (0.4, 0.75),  # share of nuclei placed against another one
    "overlap": (0.13, 0.3),  # how far they may reach into each other, radii
    "clustering": (0.15, 0.6),
    "her2_contrast": (45.0, 90.0),  # grey levels
    "cep17_contrast": (45.0, 90.0),
    "her2_fwhm": (0.05, 0.07),  # shares of the nucleus width
    "cep17_fwhm": (0.06, 0.09),
    "faint": (0.1, 0.4),  # spots a nucleus too faint to count
    "noise": (1.5, 3.5),  # grey levels
    "blur": (0.4, 0.8),  # px
    "jpeg_quality": (75.0, 90.0, 100.0),  # 100 is PNG
    "texture": (0.1, 0.2),
    "rim": (0.05, 0.45),
    "haze": (0.03, 0.25),
    "glow": (0.05, 0.35),
    "share of clustered nuclei": (0.05, 0.5),
    "true nuclei to score": (20.0, 40.0),
}
# A careful reader: two readings of sharp fields differ by 0.1 signals a nucleus (findings.md); clusters are estimated.
READER_OFF = 0.1
READER_CLUSTER_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Matched:
    """A found nucleus, the true one that it is, and what the ways of counting said."""

    nucleus: Nucleus
    truth: TrueNucleus
    ways: dict[str, tuple[float, float]]

    def wrong(self) -> bool:
        """Whether a final count is wrong."""
        true = self.truth.her2, self.truth.cep17
        return nucleus_miscounted(self.ways["final"], true, clustered=self.nucleus.clustered)

    def error(self) -> float:
        """Signals that the final counts are off, both channels together."""
        her2, cep17 = self.ways["final"]
        return abs(her2 - self.truth.her2) + abs(cep17 - self.truth.cep17)


@dataclass(frozen=True)
class Read:
    """A region and how it was read, with what follows from both; each worked out once."""

    region: TrueRegion
    reading: Reading

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """(found, true) nuclei that match."""
        return match_nuclei(self.reading.nuclei, [n.box for n in self.region.nuclei])

    @cached_property
    def found(self) -> Tally:
        """The tally of the reading."""
        return tally(self.reading.nuclei)

    @cached_property
    def true(self) -> Tally:
        """The tally of the truth."""
        return true_tally(self.region)

    @cached_property
    def judged(self) -> tuple[NDArray[np.int8], ...]:
        """What each candidate is (`detection.metrics.verdicts`), for each of IOUS."""
        truth = self.region.boxes()
        return tuple(verdicts(self.reading.candidates, truth, iou) for iou in IOUS)

    @cached_property
    def matched(self) -> list[Matched]:
        """Found nuclei that one would score and that could be counted. Others say nothing about counting."""
        rows = []
        for i, j in self.pairs:
            nucleus, truth = self.reading.nuclei[i], self.region.nuclei[j]
            if truth.scorable and nucleus.her2 is not None and nucleus.cep17 is not None:
                ways = dict(self.reading.ways[i]) if self.reading.ways else {}
                rows.append(Matched(nucleus, truth, {**ways, "final": (nucleus.her2, nucleus.cep17)}))
        return rows


def matched_nuclei(reads: Iterable[Read]) -> list[Matched]:
    """All matched nuclei of all regions."""
    return [m for read in reads for m in read.matched]


def compared(reads: Iterable[Read]) -> list[list[Compared]]:
    """For each region its scored nuclei beside the true ones, for `scoring.measured_systematic_error`."""
    return [
        [
            Compared((m.nucleus.her2 or 0, m.nucleus.cep17 or 0), (m.truth.her2, m.truth.cep17), m.nucleus.clustered)
            for m in read.matched
            if m.nucleus.scored
        ]
        for read in reads
    ]


def systematic_error(reads: Iterable[Read]) -> SystematicError:
    """By how much the counts of a region are off together, over many regions that training never saw."""
    return measured_systematic_error(compared(reads))


def plain(value: Any) -> Any:
    """Dataclasses and tuples as JSON, floats with four decimals."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def summarise(
    reads: Sequence[Read], threshold: float, error: SystematicError | None = None
) -> tuple[dict[str, Any], PrecisionRecall]:
    """Every measure of these readings, and the precision-recall curve. `threshold`: score of a shown nucleus.

    `error`: what the counter's card states of its systematic error, for the intervals.
    Raises ValueError where no region has a nucleus.
    """
    curve = _curve(reads)
    report: dict[str, Any] = {
        "detection": _detection(reads, curve, threshold),
        "counts": _counts(reads),
        "clusters found": _clusters(matched_nuclei(reads)),
        "score reliability": _reliability(score_bins(reads)),
        "uncertainty": _uncertainty(matched_nuclei(reads)),
    }
    grouped = [r for r in reads if r.region.group is not None]
    if grouped:
        patients = _by_patient(grouped)
        alone = _intervals(grouped, SystematicError())
        report |= {
            "groups per image": group_agreement(_pairs(grouped)),
            "groups per patient": group_agreement(patients),
            "groups by way of counting": _by_way(grouped),
            "error over images": _relative(grouped),
            "error over patients": _relative_of([(t, f) for t, f in _patient_tallies(grouped)]),
            "where errors come from": _sources(grouped),
            "by group": _by_group(grouped, threshold),
            "by margin": _strata_of(grouped, [group_margin(r.true) or 0.0 for r in grouped], MARGIN_CUTS, threshold),
            "by condition": _by_condition(grouped, threshold),
            "by style": _by_style(grouped, threshold),
            "intervals": alone if error is None else _intervals(grouped, error),
            "intervals over nuclei alone": alone,
            "reader": _reader(grouped),
        }
    report["per image"] = [_image(r) for r in reads]
    result: dict[str, Any] = plain(report)
    return result, curve


# --- detection --------------------------------------------------------------------------------------------------------


def _curve(reads: Sequence[Read], step: int = 0) -> PrecisionRecall:
    """The curve at IOUS[step], from verdicts that were worked out once. Raises ValueError without a nucleus to find."""
    scores = np.concatenate([np.asarray(r.reading.candidates.scores, float).reshape(-1) for r in reads])
    judged = np.concatenate([r.judged[step] for r in reads])
    return curve_of(scores, judged, sum(len(r.region.nuclei) for r in reads))


def _all_steps(reads: Sequence[Read]) -> float:
    """AP@[.5:.95]."""
    return float(np.mean([_curve(reads, step).average_precision for step in range(len(IOUS))]))


def _detection(reads: Sequence[Read], curve: PrecisionRecall, threshold: float) -> dict[str, Any]:
    precision, recall = curve.at(threshold)
    return {
        "AP@0.5": curve.average_precision,
        "AP@[.5:.95]": _all_steps(reads),
        "score threshold": threshold,
        "precision": precision,
        "recall": recall,
        "mean over images": _mean_detection([[r] for r in reads], threshold),
        "mean over patients": _mean_detection(list(_patients(reads).values()), threshold),
    }


def _mean_detection(parts: Sequence[Sequence[Read]], threshold: float) -> dict[str, float]:
    curves = [_curve(part) for part in parts if any(r.region.nuclei for r in part)]
    at = [c.at(threshold) for c in curves]
    return {
        "AP@0.5": float(np.mean([c.average_precision for c in curves])),
        "precision": float(np.mean([p for p, _ in at])),
        "recall": float(np.mean([r for _, r in at])),
    }


def score_bins(reads: Sequence[Read]) -> tuple[Bin, ...]:
    """Detections by score: the share of each bin that is a true nucleus."""
    scores, judged = [np.zeros(0)], [np.zeros(0, np.int8)]
    for r in reads:
        scores.append(np.asarray(r.reading.candidates.scores, float).reshape(-1))
        judged.append(r.judged[0])
    verdict = np.concatenate(judged)
    return reliability(np.clip(np.concatenate(scores), 0, 1)[verdict >= 0], verdict[verdict >= 0])


def _reliability(bins: Sequence[Bin]) -> dict[str, Any]:
    return {"expected calibration error": calibration_error(bins), "bins": list(bins)}


# --- counts -----------------------------------------------------------------------------------------------------------


def _counts(reads: Sequence[Read]) -> dict[str, Any]:
    """Errors by way of counting, channel and kind of nucleus; over images and patients those of the final count."""
    rows = matched_nuclei(reads)
    table: dict[str, Any] = {way: _errors(rows, way) for way in WAYS if way == "final" or _states(rows, way)}
    table["mean over images"] = _mean_errors([r.matched for r in reads])
    table["mean over patients"] = _mean_errors([matched_nuclei(part) for part in _patients(reads).values()])
    return table


def _states(rows: Sequence[Matched], way: str) -> bool:
    return any(way in m.ways for m in rows)


def _errors(rows: Sequence[Matched], way: str) -> dict[str, Any]:
    def of(channel: int, wanted: Callable[[Matched], bool]) -> Any:
        chosen = [m for m in rows if wanted(m)]
        true = [(m.truth.her2, m.truth.cep17)[channel] for m in chosen]
        return count_errors([m.ways[way][channel] for m in chosen], true)

    return {
        name: {
            "all": of(channel, lambda m: True),
            **{kind: of(channel, lambda m, c=value: m.truth.clustered is c) for kind, value in KINDS.items()},  # type: ignore[misc]
        }
        for channel, name in enumerate(CHANNELS)
    }


def _mean_errors(parts: Sequence[Sequence[Matched]]) -> dict[str, Any]:
    """Mean over parts of their mean absolute error, and the spread of their bias."""
    errors = [_errors(part, "final") for part in parts if part]
    return {
        name: {
            "mae": spread([e[name]["all"].mae for e in errors]).mean,
            "bias": spread([e[name]["all"].bias for e in errors]),
        }
        for name in CHANNELS
    }


def _clusters(rows: Sequence[Matched]) -> dict[str, Any]:
    """How many nuclei with clusters were taken for such, and how many of those that were taken for such are."""
    true, found = [m for m in rows if m.truth.clustered], [m for m in rows if m.nucleus.clustered]
    both = sum(m.nucleus.clustered for m in true)
    return {
        "n": len(true),
        "found": len(found),
        "recall": both / len(true) if true else None,
        "precision": both / len(found) if found else None,
    }


def _uncertainty(rows: Sequence[Matched]) -> dict[str, Any]:
    def of(chosen: Sequence[Matched]) -> dict[str, Any]:
        return {
            "n": len(chosen),
            "share with a wrong count": float(np.mean([m.wrong() for m in chosen])) if chosen else None,
            "mean error": float(np.mean([m.error() for m in chosen])) if chosen else None,
        }

    table: dict[str, Any] = {
        "certain nuclei": of([m for m in rows if not m.nucleus.uncertain]),
        "uncertain nuclei": of([m for m in rows if m.nucleus.uncertain]),
        "AUROC of the flag": auroc([m.nucleus.uncertain for m in rows], [m.wrong() for m in rows]),
    }
    stated = [(m.nucleus.uncertainty, m) for m in rows if m.nucleus.uncertainty is not None]
    if stated:
        values, wrong = [u for u, _ in stated], [m.wrong() for _, m in stated]
        bins = reliability(np.clip(values, 0, 1), wrong)
        table |= {
            "AUROC of the chance that a count is wrong": auroc(values, wrong),
            "expected calibration error": calibration_error(bins),
            "bins": [{**plain(b), "mean error": _mean_error_in(b, stated)} for b in bins],
        }
    return table


def _mean_error_in(b: Bin, stated: Sequence[tuple[float, Matched]]) -> float:
    return float(np.mean([m.error() for u, m in stated if b.low <= u < b.high or (b.high == 1 and u >= 1)]))


# --- groups -----------------------------------------------------------------------------------------------------------


def _pairs(reads: Sequence[Read]) -> list[tuple[int, int | None]]:
    return [(r.region.group, group(r.found)) for r in reads if r.region.group is not None]


def _patients(reads: Iterable[Read]) -> dict[str, list[Read]]:
    parts: dict[str, list[Read]] = defaultdict(list)
    for r in reads:
        parts[r.region.patient].append(r)
    return parts


def _patient_tallies(reads: Sequence[Read]) -> list[tuple[Tally, Tally]]:
    """True and found tally of each patient, all regions pooled."""
    none = Tally(0, 0, 0)
    parts = _patients(reads).values()
    return [(sum((r.true for r in part), none), sum((r.found for r in part), none)) for part in parts]


def _by_patient(reads: Sequence[Read]) -> list[tuple[int, int | None]]:
    pairs = [(group(true), group(found)) for true, found in _patient_tallies(reads)]
    return [(true, found) for true, found in pairs if true is not None]


def _by_way(reads: Sequence[Read]) -> dict[str, Any]:
    """Group accuracy if every nucleus were counted in one way."""

    def found(r: Read, way: str) -> int | None:
        pairs = zip(r.reading.nuclei, r.reading.ways, strict=True)
        return group(tally(recounted(n, *ways[way]) for n, ways in pairs))

    table = {"final": _accuracy(_pairs(reads))}
    for way in WAYS[1:]:
        if all(way in ways for r in reads for ways in r.reading.ways) and any(r.reading.ways for r in reads):
            table[way] = _accuracy([(t, found(r, way)) for r in reads if (t := r.region.group) is not None])
    return table


def _accuracy(pairs: Sequence[tuple[int, int | None]]) -> dict[str, Any]:
    right = sum(t == f for t, f in pairs)
    share = right / len(pairs) if pairs else None
    return {"n": len(pairs), "accuracy": share, "accuracy_95": wilson(right, len(pairs))}


def _sources(reads: Sequence[Read]) -> dict[str, Any]:
    """Group accuracy with one step made perfect, which tells where errors come from."""

    def true_counts(r: Read) -> Tally:
        nuclei = [r.region.nuclei[j] for i, j in r.pairs if r.reading.nuclei[i].scored]
        return Tally(len(nuclei), sum(n.her2 for n in nuclei), sum(n.cep17 for n in nuclei))

    def true_boxes(r: Read) -> Tally:
        counts = r.reading.on_true_boxes or ()
        return Tally(len(counts), sum(h for h, _ in counts), sum(c for _, c in counts))

    def with_(of: Callable[[Read], Tally]) -> dict[str, Any]:
        return _accuracy([(t, group(of(r))) for r in reads if (t := r.region.group) is not None])

    scored = sum(r.found.n for r in reads)
    known = [(r, i, j) for r in reads for i, j in r.pairs if r.reading.nuclei[i].scored]
    kept = sum(r.region.nuclei[j].scorable for r, _, j in known)
    wanted = sum(r.true.n for r in reads)
    return {
        "selection alone (true counts of the nuclei scored)": with_(true_counts),
        "counting alone (our counts in the true boxes)": with_(true_boxes)
        if all(r.reading.on_true_boxes is not None for r in reads)
        else None,
        "without false nuclei": with_(lambda r: tally(r.reading.nuclei[i] for i, _ in r.pairs)),
        "share of scored nuclei that are none": (scored - len(known)) / scored if scored else None,
        "share of scored nuclei that one would not score": (len(known) - kept) / scored if scored else None,
        "share of scorable nuclei that were not scored": (wanted - kept) / wanted if wanted else None,
    }


def _relative(reads: Sequence[Read]) -> dict[str, Any]:
    return _relative_of([(r.true, r.found) for r in reads])


def _relative_of(tallies: Sequence[tuple[Tally, Tally]]) -> dict[str, Any]:
    """Spread of the relative error of signals a nucleus and of the ratio: what moves a region over a border."""
    rows = [e for t, f in tallies if (e := _relative_errors(t, f)) is not None]
    return {name: spread([row[i] for row in rows]) for i, name in enumerate(("her2", "cep17", "ratio"))}


def _relative_errors(true: Tally, found: Tally) -> tuple[float, float, float] | None:
    if not all((true.n, true.her2, true.cep17, found.n, found.cep17)):
        return None
    her2 = found.her2 / found.n / (true.her2 / true.n)
    cep17 = found.cep17 / found.n / (true.cep17 / true.n)
    return her2 - 1, cep17 - 1, her2 / cep17 - 1


# --- parts of the set -------------------------------------------------------------------------------------------------


def _part(reads: Sequence[Read], threshold: float) -> dict[str, Any]:
    """What is told of a part of the regions: every measure that the whole set has."""
    errors = _errors(matched_nuclei(reads), "final")
    true = sum(len(r.region.nuclei) for r in reads)
    relative = _relative(reads)
    agreement = group_agreement(_pairs(reads))
    return {
        "images": len(reads),
        **_accuracy(_pairs(reads)),
        "kappa": agreement.kappa,
        "group1_sensitivity": agreement.group1_sensitivity,
        "group1_specificity": agreement.group1_specificity,
        "patients": _accuracy(_by_patient(reads)),
        "detection": _part_detection(reads, threshold),
        "counts": {
            channel: {kind: {"n": e.n, "mae": e.mae, "bias": e.bias} for kind, e in kinds.items()}
            for channel, kinds in errors.items()
        },
        "recall": sum(len(r.pairs) for r in reads) / true if true else None,
        "her2 mae": errors["her2"]["all"].mae,
        "cep17 mae": errors["cep17"]["all"].mae,
        "her2 error over images": relative["her2"].mean,
        "cep17 error over images": relative["cep17"].mean,
    }


def _part_detection(reads: Sequence[Read], threshold: float) -> dict[str, float | None]:
    """Average precision, and precision and recall of the shown nuclei; None of all without a nucleus to find."""
    if not any(r.region.nuclei for r in reads):
        return dict.fromkeys(("AP@0.5", "AP@[.5:.95]", "precision", "recall"))
    curve = _curve(reads)
    precision, recall = curve.at(threshold)
    return {
        "AP@0.5": curve.average_precision,
        "AP@[.5:.95]": _all_steps(reads),
        "precision": precision,
        "recall": recall,
    }


def _strata_of(
    reads: Sequence[Read], values: Sequence[float], cuts: Sequence[float], threshold: float
) -> list[dict[str, Any]]:
    borders = [None, *cuts, None]
    return [
        {"from": borders[k], "below": borders[k + 1], **_part([reads[i] for i in index], threshold)}
        for k, index in strata(values, cuts)
    ]


def _by_group(reads: Sequence[Read], threshold: float) -> dict[str, Any]:
    groups = sorted({r.region.group for r in reads if r.region.group is not None})
    return {str(g): _part([r for r in reads if r.region.group == g], threshold) for g in groups}


def _by_condition(reads: Sequence[Read], threshold: float) -> dict[str, Any]:
    """Parts by each condition that every region states, and by what the truth itself shows."""
    names = set.intersection(*(set(r.region.conditions) for r in reads))
    values = {name: [r.region.conditions[name] for r in reads] for name in sorted(names)}
    values["share of clustered nuclei"] = [_share_clustered(r) for r in reads]
    values["true nuclei to score"] = [float(r.true.n) for r in reads]
    table = {name: _strata_of(reads, v, CONDITION_CUTS.get(name) or thirds(v), threshold) for name, v in values.items()}
    return {name: parts for name, parts in table.items() if len(parts) > 1}


def _share_clustered(r: Read) -> float:
    return sum(n.clustered for n in r.region.nuclei) / max(len(r.region.nuclei), 1)


def _by_style(reads: Sequence[Read], threshold: float) -> dict[str, Any]:
    styles = sorted({r.region.style or "not stated" for r in reads})
    return {
        style: _part([r for r in reads if (r.region.style or "not stated") == style], threshold) for style in styles
    }


# --- how sure ---------------------------------------------------------------------------------------------------------


def _intervals(reads: Sequence[Read], error: SystematicError) -> dict[str, Any]:
    """Whether the 95 % intervals hold the truth, and what the group probabilities are worth, each region by itself."""
    copies: list[tuple[bool, float]] = []
    ratios: list[tuple[bool, float]] = []
    probabilities: list[dict[int, float]] = []
    truths: list[int] = []
    for r in reads:
        counts, group_number = scored_counts(r.reading.nuclei), r.region.group
        if len(counts) < 2 or not r.true.n or not r.true.cep17 or group_number is None:
            continue
        c = bootstrap(counts, shared=shared_errors(r.reading.nuclei, error, 0))
        probabilities.append(c.group_probability)
        truths.append(group_number)
        if c.copy_number_95 is not None:
            low, high = c.copy_number_95
            copies.append((low <= r.true.her2 / r.true.n <= high, high - low))
        if c.ratio_95 is not None:
            low, high = c.ratio_95
            ratios.append((low <= r.true.her2 / r.true.cep17 <= high, high - low))
    likeliest = [max((share, g) for g, share in p.items()) for p in probabilities]
    right = [g == true for (_, g), true in zip(likeliest, truths, strict=True)]
    bins = reliability(np.clip([share for share, _ in likeliest], 0, 1), right)
    return {
        "copy number": _coverage(copies),
        "ratio": _coverage(ratios),
        "Brier score of group probabilities": brier(probabilities, truths),
        "likeliest group": _reliability(bins),
    }


def _coverage(rows: Sequence[tuple[bool, float]]) -> dict[str, Any]:
    held = sum(h for h, _ in rows)
    return {
        "n": len(rows),
        "coverage": held / len(rows) if rows else None,
        "coverage_95": wilson(held, len(rows)),
        "mean width": float(np.mean([w for _, w in rows])) if rows else None,
    }


def _reader(reads: Sequence[Read]) -> dict[str, Any]:
    """What a careful reader would reach on these regions: a ceiling, simulated."""
    regions = [
        (g, [(n.her2, n.cep17, n.clustered) for n in r.region.scorable()])
        for r in reads
        if (g := r.region.group) is not None
    ]
    settings: dict[str, Any] = {"off": READER_OFF, "cluster_share": READER_CLUSTER_SHARE}
    return {
        "signals off": READER_OFF,
        "cluster estimate off by": READER_CLUSTER_SHARE,
        "errors at random": reader_accuracy(regions, **settings, one_way=False),
        "errors all one way in a region": reader_accuracy(regions, **settings, one_way=True),
    }


def _image(r: Read) -> dict[str, Any]:
    relative = _relative_errors(r.true, r.found)
    return {
        "image": r.region.image,
        "patient": r.region.patient,
        "group": r.region.group,
        "found": group(r.found),
        "tally": r.found,
        "true": r.true,
        "margin": group_margin(r.true),
        "relative error": None if relative is None else dict(zip(("her2", "cep17", "ratio"), relative, strict=True)),
    }
