"""A report as a FHIR R4 bundle: DiagnosticReport, Observations, Specimen, Patient, Practitioners, Organization.

The bundle is built as plain JSON and then held against the classes of `fhir.resources` (R4B, which is R4 in all that is
used here), so that nothing leaves the laboratory that a FHIR server would refuse. Ids are derived from
`ReleasedReport.identity`: the same signed report gives the same bundle.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any

from her2core.errors import ExchangeError
from her2core.exchange import codes
from her2core.exchange.codes import Code
from her2core.exchange.released import Document, ReleasedPopulation, ReleasedReport, ReleaseStatus
from her2core.records import Tally
from her2core.scoring import cep17_per_nucleus, copy_number, ratio, truncated

__all__ = ["fhir_bundle", "fhir_json"]

Json = dict[str, Any]

_CATEGORY = "http://terminology.hl7.org/CodeSystem/v2-0074"
_IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
_FLAGS = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_UCUM = "http://unitsofmeasure.org"
_GENDERS = {"female": "female", "f": "female", "male": "male", "m": "male", "other": "other", "diverse": "other"}
_OF_OBSERVATIONS = {ReleaseStatus.APPENDED: "final"}  # an addendum leaves the numbers as they were


def fhir_json(report: ReleasedReport) -> str:
    """The bundle as JSON on one line, validated. Raises ExchangeError where it is no valid R4."""
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    bundle = fhir_bundle(report)
    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        places = ", ".join(".".join(str(part) for part in e["loc"]) for e in error.errors(include_input=False)[:3])
        raise ExchangeError(f"This report cannot be written as FHIR: {places} cannot be as they are.") from error
    return json.dumps(bundle, ensure_ascii=False, allow_nan=False)


def fhir_bundle(report: ReleasedReport) -> Json:
    """The bundle as JSON values, not yet validated."""
    refs = _Refs(report)
    resources: list[tuple[str, Json]] = [
        (refs.of("DiagnosticReport"), _diagnostic_report(report, refs)),
        (refs.of("Patient"), _patient(report)),
        (refs.of("Organization"), _organization(report)),
        (refs.of("Specimen"), _specimen(report, refs)),
        *((refs.of("Practitioner", s.key), _practitioner(s.name, s.credentials, s.key)) for s in report.signers),
        *([(refs.of("Device"), _device(report))] if report.models else []),
        *((refs.of("Observation", key), body) for key, body in _observations(report, refs)),
    ]
    return {
        "resourceType": "Bundle",
        "id": refs.of("Bundle").removeprefix("urn:uuid:"),
        "type": "collection",
        "timestamp": report.issued.isoformat(),
        "entry": [{"fullUrl": url, "resource": body} for url, body in resources],
    }


class _Refs:
    """The ids of the resources of a bundle, always the same for the same report."""

    def __init__(self, report: ReleasedReport) -> None:
        self._name = report.identity

    def of(self, kind: str, key: str = "") -> str:
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, chr(10).join((self._name, kind, key)))}"

    def to(self, kind: str, key: str = "") -> Json:
        return {"reference": self.of(kind, key)}


# --- the report -------------------------------------------------------------------------------------------------------


def _diagnostic_report(report: ReleasedReport, refs: _Refs) -> Json:
    collected = report.details.collected_on
    return _filled(
        {
            "resourceType": "DiagnosticReport",
            "identifier": [_identifier("FILL", report.number, report)],
            "status": report.status.value,
            "category": [{"coding": [{"system": _CATEGORY, "code": "SP", "display": "Surgical Pathology"}]}],
            "code": _concept(codes.DOCUMENT, "HER2 FISH report"),
            "subject": refs.to("Patient"),
            "effectiveDateTime": None if collected is None else collected.isoformat(),
            "issued": report.issued.isoformat(),
            "performer": [refs.to("Organization")],
            "resultsInterpreter": [refs.to("Practitioner", signer.key) for signer in report.signers],
            "specimen": [refs.to("Specimen")],
            "result": [refs.to("Observation", key) for key, _ in _observations(report, refs)],
            "conclusion": _conclusion(report),
            "conclusionCode": _result_codes(report.outcome),
            "presentedForm": [_attachment(document) for document in report.documents],
        }
    )


def _conclusion(report: ReleasedReport) -> str:
    parts = [report.headline]
    if report.reason:
        parts.append(f"Reason of this {report.status.value} report: {report.reason}")
    return "\n".join(parts)


def _attachment(document: Document) -> Json:
    return {
        "contentType": "application/pdf",
        "data": base64.b64encode(document.pdf).decode("ascii"),
        "size": len(document.pdf),
        "hash": base64.b64encode(hashlib.sha1(document.pdf, usedforsecurity=False).digest()).decode("ascii"),
        "title": document.title,
        "creation": document.at.isoformat(),
    }


# --- who and what -----------------------------------------------------------------------------------------------------


def _patient(report: ReleasedReport) -> Json:
    d = report.details
    family, comma, given = d.patient_name.partition(",")
    name: Json = {"text": d.patient_name}
    if comma and family.strip() and given.strip():
        name |= {"family": family.strip(), "given": given.split()}
    return _filled(
        {
            "resourceType": "Patient",
            "identifier": [_identifier("MR", d.patient_id, report)] if d.patient_id.strip() else None,
            "name": [name] if d.patient_name.strip() else None,
            "gender": _GENDERS.get(d.sex.strip().casefold(), "unknown") if d.sex.strip() else None,
            "birthDate": None if d.date_of_birth is None else d.date_of_birth.isoformat(),
        }
    )


def _organization(report: ReleasedReport) -> Json:
    address = report.issuer.address.strip()
    accreditation = report.issuer.accreditation.strip()
    return _filled(
        {
            "resourceType": "Organization",
            "identifier": [{"value": accreditation}] if accreditation else None,
            "name": report.issuer.name,
            "address": [{"text": address}] if address else None,
        }
    )


def _device(report: ReleasedReport) -> Json:
    """The software, and each model that found or counted, with the SHA-256 of its weights."""
    return {
        "resourceType": "Device",
        "deviceName": [{"name": "her2core", "type": "user-friendly-name"}],
        "version": [
            {
                "type": {"text": model.stage},
                "component": {"system": "urn:her2core:sha256", "value": model.digest},
                "value": model.called,
            }
            for model in report.models
        ],
    }


def _practitioner(name: str, credentials: str, key: str) -> Json:
    return _filled(
        {
            "resourceType": "Practitioner",
            "identifier": [{"system": "urn:her2core:account", "value": key}],
            "name": [{"text": name}],
            "qualification": [{"code": {"text": credentials}}] if credentials.strip() else None,
        }
    )


def _specimen(report: ReleasedReport, refs: _Refs) -> Json:
    d = report.details
    site = " ".join(part for part in (d.laterality, d.site) if part.strip())
    collection = _filled(
        {
            "collectedDateTime": None if d.collected_on is None else d.collected_on.isoformat(),
            "bodySite": {"text": site} if site else None,
        }
    )
    notes = [
        f"Fixative: {d.fixative}" if d.fixative.strip() else "",
        "" if d.fixation_hours is None else f"Fixation: {d.fixation_hours:g} h",
        "" if d.cold_ischaemia_min is None else f"Cold ischaemia: {d.cold_ischaemia_min:g} min",
    ]
    return _filled(
        {
            "resourceType": "Specimen",
            "identifier": [{"value": d.block}] if d.block.strip() else None,
            "accessionIdentifier": _identifier("ACSN", d.accession, report),
            "type": {"text": d.specimen} if d.specimen.strip() else None,
            "subject": refs.to("Patient"),
            "receivedTime": None if d.received_on is None else d.received_on.isoformat(),
            "collection": collection or None,
            "note": [{"text": note} for note in notes if note],
        }
    )


# --- results ----------------------------------------------------------------------------------------------------------


def _observations(report: ReleasedReport, refs: _Refs) -> list[tuple[str, Json]]:
    """(key, Observation): the final result, IHC, and four of each population."""
    found = [("result", _result(report, refs))]
    if report.details.ihc is not None:
        same = {True: " on the same tissue sample", False: " on another tissue sample", None: ""}
        text = f"{report.details.ihc.value}{same[report.details.ihc_same_sample]}"
        found.append(("ihc", _observation(report, refs, codes.IHC_SCORE, valueCodeableConcept={"text": text})))
    for population in report.populations:
        found += _of_population(report, refs, population)
    return found


def _result(report: ReleasedReport, refs: _Refs) -> Json:
    more: Json = {"component": [_component(codes.GROUP, valueInteger=report.group)]} if report.group else {}
    return _observation(report, refs, codes.FINAL_RESULT, **_outcome(report.outcome), **more)


def _of_population(report: ReleasedReport, refs: _Refs, p: ReleasedPopulation) -> list[tuple[str, Json]]:
    by: Json = {"device": refs.to("Device")} if report.models else {}
    who = [_component(codes.POPULATION, valueString=p.label)]
    if p.share_percent is not None:
        who.append(_component(codes.SHARE, valueQuantity=_quantity(p.share_percent, "%", "%")))
    group = [] if p.group is None else [_component(codes.GROUP, valueInteger=p.group)]
    ish = _observation(
        report, refs, codes.ISH_RESULT, **_outcome(p.outcome), component=[*who, *_counts(p.tally), *group], **by
    )
    numbers = [
        ("ratio", codes.RATIO, ratio(p.tally), "{ratio}", p.ratio_95),
        ("her2", codes.COPY_NUMBER, copy_number(p.tally), "{copies}/{nucleus}", p.copy_number_95),
        ("cep17", codes.CEP17_PER_NUCLEUS, cep17_per_nucleus(p.tally), "{copies}/{nucleus}", None),
    ]
    found = [(f"{p.label} ish", ish)]
    for key, code, value, unit, interval in numbers:
        measured: Json
        if value is None:
            measured = {"dataAbsentReason": {"coding": [{"system": _ABSENT, "code": "not-a-number"}]}}
        else:
            measured = {"valueQuantity": _quantity(float(truncated(value)), unit, unit)}
        more = list(who)
        if interval is not None:
            ends = {"low": _quantity(interval[0], unit, unit), "high": _quantity(interval[1], unit, unit)}
            more.append(_component(Code("interval-95", "95 % interval", codes.LOCAL), valueRange=ends))
        found.append((f"{p.label} {key}", _observation(report, refs, code, **measured, component=more, **by)))
    return found


def _counts(tally: Tally) -> list[Json]:
    values = (tally.n, tally.her2, tally.cep17)
    return [_component(code, valueInteger=value) for code, value in zip(codes.COUNTS, values, strict=True)]


def _outcome(outcome: str) -> Json:
    """The value of an observation that says a result, and its flag where there is one."""
    found: Json = {"valueCodeableConcept": {"text": outcome}}
    known = codes.SNOMED_RESULT.get(outcome)
    if known is not None:
        found["valueCodeableConcept"]["coding"] = [_coding(known)]
    flag = codes.INTERPRETATION.get(outcome)
    if flag is not None:
        found["interpretation"] = [{"coding": [{"system": _FLAGS, "code": flag}]}]
    return found


def _result_codes(outcome: str) -> list[Json] | None:
    known = codes.SNOMED_RESULT.get(outcome)
    return None if known is None else [_concept(known, f"HER2 {outcome}")]


def _observation(report: ReleasedReport, refs: _Refs, code: Code, **more: Any) -> Json:
    collected = report.details.collected_on
    return _filled(
        {
            "resourceType": "Observation",
            "status": _OF_OBSERVATIONS.get(report.status, report.status.value),
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                            "code": "laboratory",
                        }
                    ]
                }
            ],
            "code": _concept(code, code.text),
            "subject": refs.to("Patient"),
            "effectiveDateTime": None if collected is None else collected.isoformat(),
            "issued": report.issued.isoformat(),
            "performer": [refs.to("Organization")],
            "specimen": refs.to("Specimen"),
            **more,
        }
    )


# --- building blocks --------------------------------------------------------------------------------------------------


def _coding(code: Code) -> Json:
    """`display` is for the system's own words only; ours stand in `text`."""
    own = {} if code.system == codes.LOINC else {"display": code.text}
    return {"system": code.system, "code": code.value, **own}


def _concept(code: Code, text: str) -> Json:
    return {"coding": [_coding(code)], "text": text}


def _component(code: Code, **value: Any) -> Json:
    return {"code": _concept(code, code.text), **value}


def _quantity(value: float, unit: str, code: str) -> Json:
    return {"value": value, "unit": unit, "system": _UCUM, "code": code}


def _identifier(kind: str, value: str, report: ReleasedReport) -> Json:
    return {
        "type": {"coding": [{"system": _IDENTIFIER_TYPE, "code": kind}]},
        "value": value,
        "assigner": {"display": report.issuer.name},
    }


def _filled(values: Json) -> Json:
    """Without what is not there: FHIR knows no null and no empty list."""
    return {key: value for key, value in values.items() if value is not None and value != [] and value != ""}
