"""Reports as they go out, for the tests of FHIR and HL7: every status and result, and names that try to break out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from her2core.exchange.released import (
    Document,
    Issuer,
    ReleasedPopulation,
    ReleasedReport,
    ReleaseStatus,
    Signer,
)
from her2core.records import IHC, CaseDetails, ModelUsed, Tally

AT = datetime(2026, 11, 24, 9, 30, 5, tzinfo=UTC)
PDF = b"%PDF-1.7\n\x00\xff|^~\\&\r\n%%EOF\n"
DETAILS = CaseDetails(
    "S26-004512",
    "Kowalczyk-Łęcka, Marta Anna",
    "MRN 8840127",
    date_of_birth=date(1961, 3, 9),
    sex="female",
    requester="Breast Clinic, Dr. J. Ferreira",
    specimen="core biopsy",
    site="breast, upper outer quadrant",
    laterality="left",
    block="A2",
    fixative="10 % neutral buffered formalin",
    fixation_hours=18,
    cold_ischaemia_min=25,
    collected_on=date(2026, 11, 17),
    received_on=date(2026, 11, 18),
    probe_kit="kit",
    controls_ok=True,
    ihc=IHC.TWO_PLUS,
    ihc_same_sample=True,
)


def document(pdf: bytes = PDF, title: str = "HER2-000012 version 1 (final)") -> Document:
    return Document(title, pdf, hashlib.sha256(pdf).hexdigest(), AT)


def population(
    tally: Tally, group: int | None, outcome: str, label: str = "A", share: float | None = 100.0
) -> ReleasedPopulation:
    return ReleasedPopulation(label, share, tally, group, outcome, (3.5, 4.25), (1.72, 2.125))


BASE = ReleasedReport(
    number="HER2-000012",
    version=1,
    status=ReleaseStatus.FINAL,
    issuer=Issuer("Northbank Molecular Pathology", "12 Harbour Street, 4021 Northbank", "ISO 15189 no. 4711"),
    details=DETAILS,
    headline="HER2 positive: ISH Group 1",
    outcome="positive",
    group=1,
    populations=(population(Tally(42, 389, 96), 1, "positive"),),
    signers=(Signer("1", "Dr. Anna Lindqvist", "MD, FRCPath"),),
    issued=AT,
    documents=(document(),),
    rule_set="ASCO_CAP_2018",
    models=(ModelUsed("detector", "detector", "1.1", "ab" * 32), ModelUsed("counter", "counter", "3", "0123456789ab")),
)

REPORTS: dict[str, ReleasedReport] = {
    "final": BASE,
    "negative, cut off and not rounded": replace(
        BASE,
        outcome="negative",
        group=5,
        headline="HER2 negative: ISH Group 5",
        populations=(population(Tally(100, 399, 200), 5, "negative"),),
    ),
    "two populations": replace(
        BASE,
        populations=(
            population(Tally(42, 389, 96), 1, "positive", "A", 35.0),
            population(Tally(47, 113, 98), 5, "negative", "B", 65.0),
        ),
    ),
    "indeterminate without CEP17": replace(
        BASE,
        outcome="indeterminate",
        group=None,
        headline="HER2 indeterminate: no CEP17 signal",
        populations=(replace(population(Tally(20, 120, 0), None, "indeterminate"), ratio_95=None),),
    ),
    "amended, two signers": replace(
        BASE,
        version=2,
        status=ReleaseStatus.AMENDED,
        reason="The first report rested on regions of another block.",
        signers=(*BASE.signers, Signer("2", "Dr. Борис Петров", "MD")),
    ),
    "appended": replace(
        BASE,
        version=2,
        status=ReleaseStatus.APPENDED,
        reason="IHC of the resection arrived.",
        documents=(document(b"%PDF-1.7 addendum", "HER2-000012 version 2 (addendum)"), document()),
    ),
    "preliminary": replace(
        BASE,
        status=ReleaseStatus.PRELIMINARY,
        outcome="pending IHC",
        group=2,
        signers=(),
        populations=(population(Tally(30, 111, 52), 2, "pending IHC", share=None),),
    ),
    "little known": replace(
        BASE, details=CaseDetails("S26-1", "Ada", "1"), issuer=Issuer("L"), headline="HER2 positive"
    ),
}

_PRELIMINARY = replace(BASE, status=ReleaseStatus.PRELIMINARY, signers=())
OTHER_RELEASES = (
    BASE,
    replace(BASE, version=2),
    replace(BASE, number="HER2-000013"),
    replace(BASE, issuer=replace(BASE.issuer, name="Southbank")),
    _PRELIMINARY,
    replace(_PRELIMINARY, issued=AT + timedelta(seconds=1)),
    replace(_PRELIMINARY, documents=(document(b"%PDF-1.7 a count later in the same second"),)),
)
"""Releases that a receiver must tell apart."""

HOSTILE = (
    "O'Neil | MSH|^~\\&|X",
    "a^b&c~d\\e",
    "two\r\nlines\rthree\nfour",
    "\\F\\ \\X0D\\ \\.br\\",
    '"}, {"resourceType": "Patient"',
    "<script>alert(1)</script>",
    "محمد · 王小明 · สมชาย · आशा · Ελένη",
    "=cmd|'/C calc'!A0",
    "OBX|1|NM|49683-6||9.99",
)
