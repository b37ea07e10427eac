"""A report as an HL7 v2.5.1 message ORU^R01, UTF-8, the signed PDF embedded as base64 (OBX of type ED).

OBX-4 names the population that a line is about (empty: the whole case). Whoever parses a message splits it at the
separators first and then undoes the escapes, so text may hold any character.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from her2core.exchange import codes
from her2core.exchange.codes import Code
from her2core.exchange.released import Document, ReleasedPopulation, ReleasedReport, ReleaseStatus, Signer
from her2core.scoring import cep17_per_nucleus, copy_number, ratio, truncated

__all__ = ["escaped", "hl7_message"]

_STATUS = {
    ReleaseStatus.PRELIMINARY: "P",
    ReleaseStatus.FINAL: "F",
    ReleaseStatus.AMENDED: "C",
    ReleaseStatus.APPENDED: "F",  # the results stay as they were; the line KIND says that something was added
}
_KIND = Code("report-kind", "Kind of report", codes.LOCAL)
_VERSION = Code("report-version", "Version of the report", codes.LOCAL)
_REASON = Code("amendment-reason", "Reason of the amendment or addendum", codes.LOCAL)
_MODEL = Code("model", "Model that found or counted", codes.LOCAL)
_NAMESPACE = 20  # characters (HL7 2.5.1, HD.1)
_INTERVAL = " 95 % interval"
_SYSTEMS = {codes.LOINC: "LN", codes.SNOMED: "SCT", codes.LOCAL: "L"}
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": "\\X0D\\", "\n": "\\X0A\\"}
_SEXES = {"female": "F", "f": "F", "male": "M", "m": "M", "other": "O", "diverse": "O"}


def hl7_message(report: ReleasedReport) -> str:
    """The message, each segment ended by a carriage return as HL7 wants it."""
    segments = [_msh(report), _pid(report), _obr(report)]
    lines = [*_of_case(report), *(line for p in report.populations for line in _of_population(p))]
    lines += [_pdf(document) for document in report.documents]
    status = _STATUS[report.status]
    segments += [_obx(place, line, status, report) for place, line in enumerate(lines, 1)]
    segments.append(_spm(report))
    return "".join(f"{segment}\r" for segment in segments)


def escaped(text: str) -> str:
    """Text for a field: separators and line breaks escaped, other control characters as spaces."""
    clean = text.replace("\r\n", "\n")
    return "".join(_ESCAPES.get(c, " " if ord(c) < 32 or 127 <= ord(c) < 160 else c) for c in clean)


# --- segments ---------------------------------------------------------------------------------------------------------


def _msh(report: ReleasedReport) -> str:
    control = hashlib.sha256(report.identity.encode()).hexdigest()
    return _segment(
        "MSH",
        {
            2: "^~\\&",
            3: "HER2CORE",
            4: _namespace(report),
            7: _moment(report.issued),
            9: "ORU^R01^ORU_R01",
            10: control[:20],
            11: "P",
            12: "2.5.1",
            18: "UNICODE UTF-8",
        },
        first=2,  # the first field of MSH is the separator itself
    )


def _pid(report: ReleasedReport) -> str:
    d = report.details
    family, comma, given = d.patient_name.partition(",")
    name = f"{escaped(family.strip())}^{escaped(given.strip())}" if comma else escaped(d.patient_name)
    return _segment(
        "PID",
        {
            1: "1",
            3: f"{escaped(d.patient_id)}^^^{_namespace(report)}^MR",
            5: name,
            7: _day(d.date_of_birth),
            8: _SEXES.get(d.sex.strip().casefold(), "U") if d.sex.strip() else "",
        },
    )


def _obr(report: ReleasedReport) -> str:
    d = report.details
    # NDL: the person (id&family name), here the whole printed name, since it is not split in the laboratory.
    signers = [_person(signer, "&") for signer in report.signers]
    return _segment(
        "OBR",
        {
            1: "1",
            2: escaped(d.accession),
            3: f"{escaped(report.number)}^HER2CORE",
            4: _coded(codes.DOCUMENT),
            7: _day(d.collected_on),
            14: _day(d.received_on),
            16: f"^{escaped(d.requester)}" if d.requester.strip() else "",
            22: _moment(report.issued),
            24: "SP",
            25: _STATUS[report.status],
            32: signers[0] if signers else "",
            33: "~".join(signers[1:]),
        },
    )


def _spm(report: ReleasedReport) -> str:
    d = report.details
    site = " ".join(part for part in (d.laterality, d.site) if part.strip())
    return _segment(
        "SPM",
        {
            1: "1",
            2: f"^{escaped(d.accession)}{'-' if d.block.strip() else ''}{escaped(d.block)}",
            4: f"^{escaped(d.specimen or 'tissue')}",
            6: f"^{escaped(d.fixative)}" if d.fixative.strip() else "",
            8: f"^{escaped(site)}" if site else "",
            17: _day(d.collected_on),
            18: _day(d.received_on),
        },
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """What one OBX says: its type, code and value (escaped), and the population, unit and flag where there are any."""

    kind: str
    code: Code
    value: str
    population: str = ""
    unit: str = ""
    flag: str = ""


def _obx(place: int, line: _Line, status: str, report: ReleasedReport) -> str:
    return _segment(
        "OBX",
        {
            1: str(place),
            2: line.kind,
            3: _coded(line.code),
            4: escaped(line.population),
            5: line.value,
            6: f"{escaped(line.unit)}^^UCUM" if line.unit else "",
            8: line.flag,
            11: status,
            14: _day(report.details.collected_on),
            16: _person(report.signers[0], "^") if report.signers else "",
            23: escaped(report.issuer.name),
        },
    )


# --- lines ------------------------------------------------------------------------------------------------------------


def _of_case(report: ReleasedReport) -> Iterable[_Line]:
    yield _Line("ST", _KIND, report.status.value)
    yield _Line("NM", _VERSION, str(report.version))
    yield _result(codes.FINAL_RESULT, report.outcome)
    if report.group is not None:
        yield _Line("NM", codes.GROUP, str(report.group))
    yield _Line("TX", Code("headline", "Result in words", codes.LOCAL), escaped(report.headline))
    if report.reason:
        yield _Line("TX", _REASON, escaped(report.reason))
    if report.details.ihc is not None:
        yield _Line("ST", codes.IHC_SCORE, escaped(report.details.ihc.value))
    for model in report.models:
        yield _Line("TX", _MODEL, escaped(f"{model.called}, SHA-256 {model.digest}"))


def _of_population(p: ReleasedPopulation) -> Iterable[_Line]:
    yield _result(codes.ISH_RESULT, p.outcome, p.label)
    if p.share_percent is not None:
        yield _Line("NM", codes.SHARE, f"{p.share_percent:g}", p.label, "%")
    for code, value in zip(codes.COUNTS, (p.tally.n, p.tally.her2, p.tally.cep17), strict=True):
        yield _Line("NM", code, str(value), p.label)
    if p.group is not None:
        yield _Line("NM", codes.GROUP, str(p.group), p.label)
    derived = (
        (codes.RATIO, ratio(p.tally), "{ratio}", p.ratio_95),
        (codes.COPY_NUMBER, copy_number(p.tally), "{copies}/{nucleus}", p.copy_number_95),
        (codes.CEP17_PER_NUCLEUS, cep17_per_nucleus(p.tally), "{copies}/{nucleus}", None),
    )
    for code, exact, unit, interval in derived:
        if exact is None:
            continue
        yield _Line("NM", code, truncated(exact), p.label, unit)
        if interval is not None:
            about = Code(f"{code.value}-interval-95", code.text + _INTERVAL, codes.LOCAL)
            yield _Line("SN", about, f"^{interval[0]!r}^-^{interval[1]!r}", p.label, unit)


def _result(code: Code, outcome: str, population: str = "") -> _Line:
    known = codes.SNOMED_RESULT.get(outcome)
    value = _coded(known) if known is not None else f"^{escaped(outcome)}"
    return _Line("CE", code, value, population, flag=codes.INTERPRETATION.get(outcome, ""))


def _pdf(document: Document) -> _Line:
    data = base64.b64encode(document.pdf).decode("ascii")
    return _Line("ED", codes.DOCUMENT, f"HER2CORE^AP^PDF^Base64^{data}")


# --- building blocks --------------------------------------------------------------------------------------------------


def _segment(name: str, fields: dict[int, str], first: int = 1) -> str:
    """Fields by their number; those between are empty, and nothing follows the last that is not."""
    last = max(number for number, value in fields.items() if value)
    return "|".join((name, *(fields.get(number, "") for number in range(first, last + 1))))


def _coded(code: Code) -> str:
    return f"{escaped(code.value)}^{escaped(code.text)}^{_SYSTEMS[code.system]}"


def _namespace(report: ReleasedReport) -> str:
    """The laboratory's name as far as a namespace id has room."""
    return escaped(report.issuer.name[:_NAMESPACE].strip())


def _person(signer: Signer, separator: str) -> str:
    return f"{escaped(signer.key)}{separator}{escaped(signer.name)}"


def _day(day: date | None) -> str:
    return "" if day is None else f"{day:%Y%m%d}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S%z}"
