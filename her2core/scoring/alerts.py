"""What the pathologist should look at before signing. An alert never changes a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from her2core.records import IHC, Exclusion, Tally
from her2core.scoring import asked
from her2core.scoring.confidence import near_cut_off
from her2core.scoring.heterogeneity import second_population_alert
from her2core.scoring.inputs import PopulationInputs
from her2core.scoring.suitability import MAX_MISSING_PERCENT, missing_colours
from her2core.scoring.tally import MINIMUM_NUCLEI, cep17_per_nucleus, truncated

__all__ = ["ONE_REGION", "population_alerts", "unread_alert", "weak_probe_alert"]

# An area is where the pathologist sees tumour, and one large image may show several: a hint, never a bar.
ONE_REGION = (
    f"All scored nuclei lie in one region. {asked.ANOTHER_AREA.prompt} Fewer than two areas that can be counted are a "
    "reason to call the test indeterminate."
)
MANY_UNREAD_PERCENT = 10  # of the scored nuclei; the guideline knows no such limit
HIGH_CEP17 = 3  # mean signals per nucleus; a gain of the centromere hides a gain of HER2 in the ratio


def population_alerts(
    population: PopulationInputs, group: int | None, ihc: IHC | None, only_one: bool
) -> tuple[str, ...]:
    """The alerts of one population, the gravest first. `only_one`: the case was taken for homogeneous."""
    return tuple(_alerts(population, group, ihc, only_one))


def _alerts(population: PopulationInputs, group: int | None, ihc: IHC | None, only_one: bool) -> Iterator[str]:
    if group == 1 and ihc in (IHC.ZERO, IHC.ZERO_PLUS):
        yield (f"Discordance: ISH Group 1 (amplified) with IHC {ihc.value}. {asked.SAME_TUMOUR.prompt}")
    if group == 5 and ihc is IHC.THREE_PLUS:
        yield (f"Discordance: ISH Group 5 (not amplified) with IHC 3+. {asked.AMPLIFIED_OR_TOO_LOW.prompt}")
    yield from _counting_alerts(population, group)
    if only_one and population.heterogeneity is not None:
        second = second_population_alert(population.heterogeneity)
        if second is not None:
            yield second


def _counting_alerts(population: PopulationInputs, group: int | None) -> Iterator[str]:
    t = population.tally
    if population.clustered and group != 1:
        yield (
            f"Clustered HER2 signals in {population.clustered} of {t.n} scored nuclei: their counts are estimates. "
            f"{asked.CLUSTERS.prompt}"
        )
    near = near_cut_off(t)
    if near is not None:
        yield near
    if t.n and t.cep17 >= HIGH_CEP17 * t.n:
        yield (
            f"The nuclei carry {truncated(cep17_per_nucleus(t))} CEP17 signals on average. A gain of the centromere "
            "lowers the ratio and can hide a gain of HER2; coarse signals counted twice do the same."
        )
    weak = weak_probe_alert(t, population.exclusions)
    if weak is not None:
        yield weak
    # Below the least number that comes first, since what is missing may bring the second area with it.
    if population.regions == 1 and t.n >= MINIMUM_NUCLEI:
        yield ONE_REGION


def weak_probe_alert(t: Tally, left_out: Mapping[Exclusion, int]) -> str | None:
    """A sentence where more nuclei lack a colour than the guideline allows; None otherwise."""
    missing = missing_colours(t.n, left_out)
    if not missing.above_limit:
        return None
    return (
        f"{missing.words}: more than the limit of {MAX_MISSING_PERCENT:.0f} % of signals too weak to score. Above "
        "it the guideline asks to report the test as indeterminate and to repeat it on this or another block, or to "
        "use IHC."
    )


def unread_alert(scored: int, unsure_of: int) -> str | None:
    """A sentence where many counts rest on the models alone though they were unsure; None otherwise.

    unsure_of: of the `scored` nuclei, those of which the models were unsure and that no person confirmed or corrected
    one by one.
    """
    if 100 * unsure_of <= MANY_UNREAD_PERCENT * scored:
        return None
    return (
        f"The models were unsure of {unsure_of} of {scored} scored nuclei ({100 * unsure_of / scored:.0f} %) that no "
        f"person confirmed or corrected one by one. {asked.UNREAD.prompt}"
    )
