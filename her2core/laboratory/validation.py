"""Are the models good enough here? Agreement with cases whose truth is known, against limits that the laboratory sets.

Pure functions of tallies and counts. A sample is what a result belongs to: a case, all its images pooled, of at least
`SMALLEST_SAMPLE` nuclei; images alone are judged beside it. Shares have Wilson's intervals, means of differences those
of Bland and Altman, and figures of images that share a patient are resampled by patient (`clustered_interval`).
"""

from __future__ import annotations

import math
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from her2core.errors import SettingsError, TrainingError
from her2core.laboratory.agreement import BlandAltman, Kappa, bland_altman, kappa
from her2core.records import Tally
from her2core.scoring import group
from her2core.training.measures import CountErrors, GroupAgreement, group_agreement, strata, thirds, wilson

__all__ = [
    "SMALLEST_SAMPLE",
    "Criterion",
    "GroupShares",
    "Limits",
    "NucleusCounts",
    "Part",
    "Sample",
    "Validation",
    "Verdict",
    "advice",
    "cases_needed",
    "clustered_interval",
    "criteria",
    "group_shares",
    "overall",
    "parts",
    "pooled",
    "read_limits",
    "validate",
]

SMALLEST_SAMPLE = 20
"""Scored nuclei that a result needs (decision 2 of the architecture)."""
MOST_CASES = 100_000
_RESAMPLES = 2000
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """A case or an image: what is true of it, what was found, and how it looks (`conditions`, by name)."""

    name: str
    patient: str
    images: int
    true: Tally
    found: Tally
    conditions: Mapping[str, float] = field(default_factory=dict)

    @property
    def true_group(self) -> int | None:
        """The group of the true tally; None where there are too few nuclei to have one."""
        return group(self.true)

    @property
    def found_group(self) -> int | None:
        """The group of the tally found, from however few nuclei: for images alone."""
        return group(self.found)

    @property
    def call(self) -> int | None:
        """The group that would be reported: none from too few nuclei."""
        return self.found_group if self.found.n >= SMALLEST_SAMPLE else None


@dataclass(frozen=True, slots=True)
class NucleusCounts:
    """Found against true nuclei: how many are in both, and how far the counts of these are off."""

    true: int
    found: int
    matched: int
    her2: CountErrors
    cep17: CountErrors


@dataclass(frozen=True, slots=True)
class GroupShares:
    """Of a group: cases that are of it and were called so (sensitivity), and the other way round (specificity)."""

    group: int
    of_it: int
    called: int
    sensitivity: float | None
    sensitivity_95: Interval
    specificity: float | None
    specificity_95: Interval


@dataclass(frozen=True, slots=True)
class Part:
    """Images of which a condition lies within `low` (included) and `high` (not); None: no border on that side."""

    condition: str
    low: float | None
    high: float | None
    n: int
    right: int
    concordance_95: Interval
    her2_off: float | None  # mean of found over true HER2 a nucleus, less one


@dataclass(frozen=True, slots=True)
class Limits:
    """What the laboratory demands; shares 0 to 1. Raises SettingsError for what no share can be."""

    group_concordance: float = 0.95
    """Least share of cases with the true group."""

    group1_sensitivity: float = 0.95
    """Least share of true Group 1 cases that are called so."""

    group1_specificity: float = 0.95
    """Least share of all other cases that are not called Group 1."""

    kappa: float = 0.8
    """Least kappa of the groups."""

    her2_bias: float = 0.1
    """Most that the mean HER2 of a nucleus may be off, as a share of the truth, either way."""

    ratio_bias: float = 0.1
    """Most that the mean ratio may be off, as a share of the truth, either way."""

    nuclei_found: float = 0.9
    """Least share of the true nuclei that are found."""

    cases: int = 40
    """Fewest cases that a validation may rest on."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SettingsError(f"The limit {item.name} must be a number.")
            if item.name == "cases":
                if not isinstance(value, int) or not 1 <= value <= MOST_CASES:
                    raise SettingsError(f"The limit cases must be a whole number from 1 to {MOST_CASES}.")
            elif not (math.isfinite(value) and 0 < value <= 1):
                raise SettingsError(f"The limit {item.name} must lie above 0 and be 1 at most, such as 0.95.")


class Verdict(StrEnum):
    """What a measure says about its limit; the values are printed."""

    PROVEN = "met, interval and all"
    MET = "met, but the interval reaches beyond the limit"
    MISSED = "not met"
    UNKNOWN = "cannot be measured on these cases"


@dataclass(frozen=True, slots=True)
class Criterion:
    """A measure, its interval, and the limit it is held against. `at_least`: the limit is a floor, else a ceiling."""

    name: str
    what: str
    n: int
    value: float | None
    interval: Interval | None
    limit: float
    at_least: bool

    @property
    def verdict(self) -> Verdict:
        """Whether the measure keeps its limit, and whether it would on other cases too (95 % interval)."""
        if self.value is None:
            return Verdict.UNKNOWN
        if not (self.value >= self.limit if self.at_least else abs(self.value) <= self.limit):
            return Verdict.MISSED
        if self.interval is None:
            return Verdict.PROVEN if self.name == "cases" else Verdict.MET
        low, high = self.interval
        within = low >= self.limit if self.at_least else max(abs(low), abs(high)) <= self.limit
        return Verdict.PROVEN if within else Verdict.MET


@dataclass(frozen=True, slots=True)
class Validation:
    """All that a validation measured. `left_out`: names of cases whose truth has too few nuclei for a group."""

    cases: tuple[Sample, ...]
    images: tuple[Sample, ...]
    left_out: tuple[str, ...]
    agreement: GroupAgreement
    kappa: Kappa
    by_group: tuple[GroupShares, ...]
    image_agreement: GroupAgreement
    image_interval: Interval
    her2: BlandAltman
    cep17: BlandAltman
    ratio: BlandAltman
    her2_share: BlandAltman
    ratio_share: BlandAltman
    nuclei: NucleusCounts
    parts: tuple[Part, ...]
    criteria: tuple[Criterion, ...]

    @property
    def discordant(self) -> tuple[Sample, ...]:
        """Cases with another group than the true one, or none."""
        return tuple(s for s in self.cases if s.call != s.true_group)


def validate(images: Sequence[tuple[str, Sample]], nuclei: NucleusCounts, limits: Limits | None = None) -> Validation:
    """Judge images, each with the name of its case, against the limits.

    Raises TrainingError where no case has enough nuclei for a true group.
    """
    every = pooled(images)
    cases = tuple(s for s in every if s.true.n >= SMALLEST_SAMPLE and s.true_group is not None)
    if not cases:
        raise TrainingError(
            f"No case has {SMALLEST_SAMPLE} annotated nuclei with both probes: there is no true group to compare with."
        )
    called = [(s.true_group or 0, s.call) for s in cases]
    agreement = group_agreement(called)
    grouped = [s for _, s in images if s.true_group is not None]
    in_images = group_agreement((s.true_group or 0, s.found_group) for s in grouped)
    clusters: dict[str, list[float]] = defaultdict(list)
    for s in grouped:
        clusters[s.patient].append(float(s.found_group == s.true_group))
    counted = [s for s in cases if _measurable(s)]
    by_group = tuple(group_shares(called, g) for g in range(1, 6))
    chance = kappa(called)
    her2_share = _agree(counted, lambda t: t.her2 / t.n, relative=True)
    ratio_share = _agree(counted, lambda t: t.her2 / t.cep17, relative=True)
    return Validation(
        cases=cases,
        images=tuple(s for _, s in images),
        left_out=tuple(s.name for s in every if s not in cases),
        agreement=agreement,
        kappa=chance,
        by_group=by_group,
        image_agreement=in_images,
        image_interval=clustered_interval(list(clusters.values())),
        her2=_agree(counted, lambda t: t.her2 / t.n),
        cep17=_agree(counted, lambda t: t.cep17 / t.n),
        ratio=_agree(counted, lambda t: t.her2 / t.cep17),
        her2_share=her2_share,
        ratio_share=ratio_share,
        nuclei=nuclei,
        parts=parts(grouped),
        criteria=criteria(agreement, chance, by_group[0], her2_share, ratio_share, nuclei, limits or Limits()),
    )


def _measurable(s: Sample) -> bool:
    return bool(s.found.n and s.found.cep17 and s.true.cep17 and s.true.her2)


def _agree(samples: Sequence[Sample], of: Callable[[Tally], float], *, relative: bool = False) -> BlandAltman:
    """Found minus true; with `relative` as a share of the truth."""
    true, found = [of(s.true) for s in samples], [of(s.found) for s in samples]
    if relative:
        return bland_altman([0.0] * len(true), [f / t - 1 for t, f in zip(true, found, strict=True)])
    return bland_altman(true, found)


def pooled(images: Iterable[tuple[str, Sample]]) -> tuple[Sample, ...]:
    """The cases that the images make together, in the order in which they first appear; conditions are means."""
    parted: dict[str, list[Sample]] = defaultdict(list)
    for case, sample in images:
        parted[case].append(sample)
    none = Tally(0, 0, 0)
    made = []
    for case, samples in parted.items():
        names = set.intersection(*(set(s.conditions) for s in samples))
        means = {name: float(np.mean([s.conditions[name] for s in samples])) for name in sorted(names)}
        true = sum((s.true for s in samples), none)
        found = sum((s.found for s in samples), none)
        made.append(Sample(case, samples[0].patient, sum(s.images for s in samples), true, found, means))
    return tuple(made)


def group_shares(pairs: Sequence[tuple[int, int | None]], number: int) -> GroupShares:
    """Sensitivity and specificity of one group over (true, found) pairs; no call is not of the group."""
    of_it = [f == number for t, f in pairs if t == number]
    others = [f != number for t, f in pairs if t != number]
    return GroupShares(
        number,
        len(of_it),
        sum(f == number for _, f in pairs),
        sum(of_it) / len(of_it) if of_it else None,
        wilson(sum(of_it), len(of_it)),
        sum(others) / len(others) if others else None,
        wilson(sum(others), len(others)),
    )


def clustered_interval(clusters: Sequence[Sequence[float]], resamples: int = _RESAMPLES, seed: int = 0) -> Interval:
    """The middle 95 % of the mean over all values when whole clusters are drawn again; (0, 1) without any.

    Two images of a patient are no two witnesses: an interval that takes them for such is too narrow.
    """
    if not clusters:
        return 0.0, 1.0
    sums = np.array([sum(c) for c in clusters], float)
    sizes = np.array([len(c) for c in clusters], float)
    drawn = np.random.default_rng(seed).integers(len(clusters), size=(resamples, len(clusters)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def criteria(
    agreement: GroupAgreement,
    chance: Kappa,
    group1: GroupShares,
    her2: BlandAltman,
    ratio: BlandAltman,
    nuclei: NucleusCounts,
    limits: Limits,
) -> tuple[Criterion, ...]:
    """The measures that have a limit. `her2` and `ratio`: differences as a share of the truth."""
    n = agreement.total
    found = nuclei.matched / nuclei.true if nuclei.true else None
    return (
        Criterion("cases", "Number of cases", n, float(n), None, float(limits.cases), True),
        Criterion(
            "group_concordance", "Cases with the true group", n, agreement.accuracy, agreement.accuracy_95,
            limits.group_concordance, True,
        ),
        Criterion(
            "group1_sensitivity", "Group 1 called so", group1.of_it, group1.sensitivity, group1.sensitivity_95,
            limits.group1_sensitivity, True,
        ),
        Criterion(
            "group1_specificity", "Other groups not called Group 1", n - group1.of_it, group1.specificity,
            group1.specificity_95, limits.group1_specificity, True,
        ),
        Criterion("kappa", "Kappa of the groups", n, chance.value, chance.interval, limits.kappa, True),
        Criterion("her2_bias", "HER2 a nucleus, mean off by", her2.n, her2.bias, her2.bias_95, limits.her2_bias, False),
        Criterion(
            "ratio_bias", "HER2/CEP17, mean off by", ratio.n, ratio.bias, ratio.bias_95, limits.ratio_bias, False
        ),
        Criterion(
            "nuclei_found", "True nuclei found", nuclei.true, found, wilson(nuclei.matched, nuclei.true),
            limits.nuclei_found, True,
        ),
    )  # fmt: skip


def overall(of: Sequence[Criterion]) -> Verdict:
    """The worst of the verdicts: one limit missed is a validation missed."""
    worst_first = (Verdict.MISSED, Verdict.UNKNOWN, Verdict.MET, Verdict.PROVEN)
    return min((c.verdict for c in of), key=worst_first.index)


def parts(images: Sequence[Sample]) -> tuple[Part, ...]:
    """Images in about equal thirds of each condition that all of them state; conditions that do not vary are left out.

    Only conditions of which each third holds at least three images: fewer say nothing.
    """
    if not images:
        return ()
    found: list[Part] = []
    for name in sorted(set.intersection(*(set(s.conditions) for s in images))):
        values = [s.conditions[name] for s in images]
        cuts = thirds(values)
        borders = [None, *cuts, None]
        chosen = strata(values, cuts)
        if len(chosen) > 1 and all(len(index) >= 3 for _, index in chosen):
            found += [_part(name, borders[k], borders[k + 1], [images[i] for i in index]) for k, index in chosen]
    return tuple(found)


def _part(name: str, low: float | None, high: float | None, images: Sequence[Sample]) -> Part:
    right = sum(s.found_group == s.true_group for s in images)
    off = [s.found.her2 / s.found.n / (s.true.her2 / s.true.n) - 1 for s in images if _measurable(s)]
    return Part(name, low, high, len(images), right, wilson(right, len(images)), float(np.mean(off)) if off else None)


def cases_needed(limit: float, observed: float = 1.0) -> int | None:
    """Cases after which the lower end of Wilson's interval reaches `limit`, if the share observed stays as it is.

    None where it never will: the share is the limit at most, or too close to it (more than MOST_CASES). Raises
    ValueError for a limit of 1, which no number of cases can prove, and for what is no share.
    """
    if not (0 < limit < 1 and 0 <= observed <= 1):
        raise ValueError("a limit lies between 0 and 1, and a share is 0 to 1")
    if observed <= limit:
        return None
    low, high = 1, MOST_CASES
    if _lower(observed, high) < limit:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _lower(observed, middle) >= limit else (middle + 1, high)
    return low


def _lower(share: float, n: int) -> float:
    """Lower end of Wilson's interval for a share of n, without rounding it to whole cases."""
    z2 = 1.959964**2
    centre = share + z2 / (2 * n)
    half = 1.959964 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (centre - half) / (1 + z2 / n)


def advice(of: Sequence[Criterion]) -> tuple[str, ...]:
    """What to do about the number of cases, a sentence for each share whose interval is too wide to prove its limit."""
    said = []
    for c in of:
        share = c.at_least and c.name not in ("cases", "kappa") and c.limit < 1
        if c.name == "cases" and c.verdict is Verdict.MISSED:
            said.append(f"Add {math.ceil(c.limit) - c.n} cases: {c.n} are fewer than the {c.limit:.0f} asked for.")
        if not share or c.verdict not in (Verdict.MET, Verdict.UNKNOWN):
            continue
        least = cases_needed(c.limit)
        faultless = f"{least} without one error would prove {100 * c.limit:.4g} %"
        needed = None if c.value is None else cases_needed(c.limit, c.value)
        if c.value is None:
            said.append(f"{c.what}: there is no such case in the set; {faultless}.")
        elif needed is None:
            said.append(f"{c.what}: at {100 * c.value:.1f} % no number of cases proves the limit; {faultless}.")
        elif c.value == 1:
            said.append(f"{c.what}: {faultless}; there are {c.n} so far.")
        else:
            said.append(f"{c.what}: {needed} cases at {100 * c.value:.1f} % would prove the limit; {faultless}.")
    return tuple(said)


def read_limits(path: Path) -> Limits:
    """The limits of a TOML file; those not named stay at the defaults.

    Raises SettingsError for a file that cannot be read, an unknown limit or a value that no share can be.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The limits in {path.name} cannot be read. It must be a UTF-8 text file.") from error
    known = [item.name for item in fields(Limits)]
    for name in values:
        if name not in known:
            raise SettingsError(f"{path.name} has an unknown limit {name!r}. Known are: {', '.join(known)}.")
    return Limits(**values)
