"""HL7 messages: read back with an independent parser, and nothing that a person typed breaks out of its field."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hl7apy.consts import VALIDATION_LEVEL  # type: ignore[import-untyped]
from hl7apy.parser import parse_message  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.exchange.hl7 import escaped, hl7_message
from her2core.exchange.released import ReleasedReport, ReleaseStatus
from her2core.records import CaseDetails
from her2core.scoring import truncated
from tests.exchange.releases import BASE, HOSTILE, OTHER_RELEASES, REPORTS

STATUS = {
    ReleaseStatus.PRELIMINARY: "P",
    ReleaseStatus.FINAL: "F",
    ReleaseStatus.AMENDED: "C",
    ReleaseStatus.APPENDED: "F",
}
UNESCAPES = {"E": "\\", "F": "|", "S": "^", "T": "&", "R": "~", "X0D": "\r", "X0A": "\n"}


def unescaped(text: str) -> str:
    """What a receiver makes of a field (HL7 2.5.1, 2.7.1)."""
    return re.sub(r"\\([A-Z0-9]+)\\", lambda match: UNESCAPES[match[1]], text)


def segments(report: ReleasedReport) -> list[list[str]]:
    message = hl7_message(report)
    assert message.endswith("\r")
    assert "\n" not in message
    return [segment.split("|") for segment in message.removesuffix("\r").split("\r")]


def named(report: ReleasedReport, name: str) -> list[list[str]]:
    return [fields for fields in segments(report) if fields[0] == name]


@dataclass(frozen=True)
class Line:
    kind: str
    code: str
    population: str
    value: str
    status: str


def lines(report: ReleasedReport) -> Iterator[Line]:
    for number, obx in enumerate(named(report, "OBX"), 1):
        assert obx[1] == str(number)
        yield Line(obx[2], obx[3].partition("^")[0], unescaped(obx[4]), obx[5], obx[11])


def values(report: ReleasedReport, code: str, population: str = "") -> list[str]:
    return [line.value for line in lines(report) if (line.code, line.population) == (code, population)]


@pytest.mark.parametrize("name", REPORTS)
def test_message_is_of_the_structure_that_the_standard_wants(name: str) -> None:
    message = re.sub(r"(\^Base64\^)[^|\r]+", r"\1JVBERg==", hl7_message(REPORTS[name]))  # hl7apy bounds text at 199
    parsed = parse_message(message, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert parsed.validate()
    assert parsed.name == "ORU_R01"
    assert [child.name for child in parsed.children] == ["MSH", "ORU_R01_PATIENT_RESULT"]


@pytest.mark.parametrize("name", REPORTS)
def test_every_number_comes_back(name: str) -> None:
    report = REPORTS[name]
    for p in report.populations:
        counts = [values(report, code, p.label) for code in ("nuclei-counted", "her2-signals", "cep17-signals")]
        assert counts == [[str(p.tally.n)], [str(p.tally.her2)], [str(p.tally.cep17)]]
        assert values(report, "ish-group", p.label) == ([] if p.group is None else [str(p.group)])
        assert values(report, "population-share", p.label) == (
            [] if p.share_percent is None else [f"{p.share_percent:g}"]
        )
        wanted = (
            ("49683-6", p.tally.her2, p.tally.cep17, p.ratio_95),
            ("74860-8", p.tally.her2, p.tally.n, p.copy_number_95),
            ("74861-6", p.tally.cep17, p.tally.n, None),
        )
        for code, over, under, interval in wanted:
            assert values(report, code, p.label) == ([truncated(Fraction(over, under))] if under else [])
            got = values(report, f"{code}-interval-95", p.label)
            assert [tuple(map(float, text.split("^")[1::2])) for text in got] == ([interval] if interval else [])


@pytest.mark.parametrize("name", REPORTS)
def test_status_result_signers_and_pdf_come_back(name: str) -> None:
    report = REPORTS[name]
    (obr,) = named(report, "OBR")
    obr += [""] * (34 - len(obr))
    assert obr[25] == STATUS[report.status]
    assert {line.status for line in lines(report)} == {STATUS[report.status]}
    assert values(report, "report-kind") == [report.status.value]
    assert values(report, "report-version") == [str(report.version)]
    assert [unescaped(text) for text in values(report, "headline")] == [report.headline]
    assert [unescaped(text) for text in values(report, "amendment-reason")] == (
        [report.reason] if report.reason else []
    )
    assert obr[3].partition("^")[0] == report.number
    signers = [unescaped(person.partition("&")[2]) for person in (obr[32], *obr[33].split("~")) if person]
    assert signers == [signer.name for signer in report.signers]
    embedded = [value.split("^") for value in values(report, "96893-3")]
    assert [base64.b64decode(parts[4], validate=True) for parts in embedded] == [d.pdf for d in report.documents]
    assert all(parts[1:4] == ["AP", "PDF", "Base64"] for parts in embedded)
    (result,) = values(report, "48676-1")
    assert result.split("^")[1].casefold() == report.outcome.casefold()


def test_the_models_come_back_with_the_sha256_of_their_weights() -> None:
    assert [unescaped(text) for text in values(BASE, "model")] == [
        f"detector 1.1, SHA-256 {'ab' * 32}",
        "counter 3, SHA-256 0123456789ab… (first 12 digits recorded)",
    ]
    assert values(replace(BASE, models=()), "model") == []


def test_the_same_report_has_the_same_control_id_and_any_other_release_another() -> None:
    """Receivers drop a message whose control id (MSH-10) they had: a final one must not pass for its preliminary."""

    def control(report: ReleasedReport) -> str:
        return named(report, "MSH")[0][9]

    assert control(BASE) == control(replace(BASE))
    assert len({control(report) for report in OTHER_RELEASES}) == len(OTHER_RELEASES)
    assert all(len(control(report)) == 20 for report in OTHER_RELEASES)


def test_patient_and_specimen_come_back() -> None:
    (pid,), (obr,), (spm,) = (named(BASE, name) for name in ("PID", "OBR", "SPM"))
    assert pid[3] == "MRN 8840127^^^Northbank Molecular^MR"
    assert (pid[5], pid[7], pid[8]) == ("Kowalczyk-Łęcka^Marta Anna", "19610309", "F")
    assert (obr[2], obr[7], obr[22]) == ("S26-004512", "20261117", "20261124093005+0000")
    assert (spm[2], spm[4], spm[17], spm[18]) == ("^S26-004512-A2", "^core biopsy", "20261117", "20261118")
    assert values(BASE, "85319-2") == ["2+"]


def test_an_independent_parser_reads_the_same() -> None:
    parsed = parse_message(hl7_message(BASE), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    assert parsed.pid.pid_5.pid_5_1.value == "Kowalczyk-Łęcka"
    ratios = [obx.obx_5.value for obx in parsed.obx if obx.obx_3.obx_3_1.value == "49683-6"]
    assert ratios == ["4.05"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_field(text: str) -> None:
    plain = [len(fields) for fields in segments(replace(BASE, reason="x"))]
    details = replace(BASE.details, patient_name=text, patient_id=text, specimen=text, fixative=text, requester=text)
    report = replace(BASE, details=details, headline=text, reason=text)
    assert [len(fields) for fields in segments(report)] == plain
    wanted = text.replace("\r\n", "\n")
    (pid,) = named(report, "PID")
    assert unescaped(pid[3].partition("^")[0]) == wanted
    assert [unescaped(value) for value in values(report, "headline")] == [wanted]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_survives_escaping_but_for_control_characters(text: str) -> None:
    field = escaped(text)
    assert not set(field) & set("|^&~\r\n")
    wanted = "".join(
        " " if (ord(c) < 32 and c not in "\r\n") or 127 <= ord(c) < 160 else c for c in text.replace("\r\n", "\n")
    )
    assert unescaped(field) == wanted
    report = replace(BASE, details=CaseDetails(text or "1", text or "1", text or "1"))
    assert len(named(report, "PID")) == 1
