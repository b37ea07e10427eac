"""From nuclei to the numbers of a result: N, H, C, copies per nucleus and ratio, exact to the last digit.

A ratio is total over total, never the mean of the ratios of single nuclei (domain.md 1.2). Numbers stay `Fraction`
until they are shown, and are then cut off, not rounded, so that a printed "2.00" cannot stand beside Group 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from her2core.errors import ScoringError
from her2core.records import Exclusion, Nucleus, Tally

__all__ = [
    "MINIMUM_NUCLEI",
    "cep17_per_nucleus",
    "copy_number",
    "exclusions",
    "ratio",
    "scored_counts",
    "tally",
    "truncated",
    "truncated_end",
    "with_sign",
]

MINIMUM_NUCLEI = 20  # scored invasive tumour nuclei that a result needs (domain.md 1.4)


def scored_counts(nuclei: Iterable[Nucleus]) -> list[tuple[int, int]]:
    """(HER2, CEP17) signals of each scored nucleus, in the given order."""
    return [(n.her2, n.cep17) for n in nuclei if n.scored and n.her2 is not None and n.cep17 is not None]


def tally(nuclei: Iterable[Nucleus]) -> Tally:
    """N, H and C over the scored nuclei; the others do not count."""
    counts = scored_counts(nuclei)
    return Tally(len(counts), sum(her2 for her2, _ in counts), sum(cep17 for _, cep17 in counts))


def exclusions(nuclei: Iterable[Nucleus]) -> dict[Exclusion, int]:
    """How many nuclei were left out, by reason; reasons that did not occur are absent. In the order of `Exclusion`."""
    found = Counter(n.reason for n in nuclei if n.reason is not None)
    return {reason: found[reason] for reason in Exclusion if found[reason]}


def copy_number(t: Tally) -> Fraction | None:
    """Mean HER2 signals per nucleus, H / N; None without nuclei."""
    return Fraction(t.her2, t.n) if t.n else None


def cep17_per_nucleus(t: Tally) -> Fraction | None:
    """Mean CEP17 signals per nucleus, C / N; None without nuclei."""
    return Fraction(t.cep17, t.n) if t.n else None


def ratio(t: Tally) -> Fraction | None:
    """HER2/CEP17 ratio, H / C; None where there is no nucleus or no CEP17 signal."""
    return Fraction(t.her2, t.cep17) if t.n and t.cep17 else None


def truncated(value: Fraction | None, digits: int = 2) -> str:
    """The value cut off after `digits` decimals, toward zero (1.999 is "1.99"); "–" for None.

    Raises ScoringError for a negative number of digits.
    """
    if digits < 0:
        raise ScoringError("A number cannot be shown with a negative count of decimals.")
    if value is None:
        return "–"
    scale = 10**digits
    units = abs(value.numerator) * scale // value.denominator
    sign = "-" if value < 0 and units else ""
    whole, rest = divmod(units, scale)
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def truncated_end(value: float) -> str:
    """An end of an interval to two decimals, cut off as the number between the ends is.

    Through six decimals, so that the float nearest to 1.72 is not cut off to 1.71.
    """
    return truncated(Fraction(f"{value:.6f}"))


def with_sign(value: float, digits: int = 0) -> str:
    """A difference, rounded, with its sign: "+14" or, with a true minus, "−14"; "0" has none."""
    shown = f"{value:+.{digits}f}"
    return shown.replace("-", "−") if float(shown) else shown[1:]
