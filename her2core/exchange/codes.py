"""Codes by which other systems know the numbers of a report (LOINC: domain.md 5.5). One list for FHIR and HL7 v2."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CEP17_PER_NUCLEUS",
    "COPY_NUMBER",
    "COUNTS",
    "DOCUMENT",
    "FINAL_RESULT",
    "GROUP",
    "IHC_SCORE",
    "INTERPRETATION",
    "ISH_RESULT",
    "LOCAL",
    "LOINC",
    "POPULATION",
    "RATIO",
    "SHARE",
    "SNOMED",
    "SNOMED_RESULT",
    "Code",
]

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
LOCAL = "urn:her2core:codes"
"""For what LOINC has no code: number of nuclei, totals of signals, ISH group, population."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code with the system that it belongs to and its name there."""

    value: str
    text: str
    system: str = LOINC


DOCUMENT = Code("96893-3", "HER2 gene duplication in tumour by FISH, document")
ISH_RESULT = Code("85318-4", "ERBB2 gene duplication [Presence] in breast cancer specimen by FISH")
RATIO = Code("49683-6", "ERBB2 gene copy number / chromosome 17 copy number ratio in tissue by FISH")
COPY_NUMBER = Code("74860-8", "ERBB2 gene copy number per nucleus in tissue by FISH")
CEP17_PER_NUCLEUS = Code("74861-6", "Chromosome 17 copy number per nucleus in tissue by FISH")
IHC_SCORE = Code("85319-2", "HER2 in breast cancer specimen by immune stain")
FINAL_RESULT = Code("48676-1", "HER2 [Interpretation] in tissue")

GROUP = Code("ish-group", "ISH group (ASCO/CAP 2018)", LOCAL)
POPULATION = Code("population", "Tumour cell population", LOCAL)
SHARE = Code("population-share", "Share of the population in the tumour cells", LOCAL)
COUNTS = (
    Code("nuclei-counted", "Invasive tumour nuclei counted (N)", LOCAL),
    Code("her2-signals", "HER2 signals in these nuclei (H)", LOCAL),
    Code("cep17-signals", "CEP17 signals in these nuclei (C)", LOCAL),
)

SNOMED_RESULT = {
    "positive": Code("10828004", "Positive", SNOMED),
    "negative": Code("260385009", "Negative", SNOMED),
}
INTERPRETATION = {"positive": "POS", "negative": "NEG", "indeterminate": "IND"}
"""Abnormal flags by outcome (HL7 ObservationInterpretation); other outcomes have none."""
