"""FHIR bundles: valid R4, and what is read back from them is what was signed."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from her2core.errors import ExchangeError
from her2core.exchange.fhir import fhir_json
from her2core.exchange.released import ReleasedPopulation, ReleasedReport, ReleaseStatus
from her2core.records import CaseDetails, Tally
from her2core.scoring import truncated
from tests.exchange.releases import BASE, HOSTILE, OTHER_RELEASES, REPORTS

Json = dict[str, Any]
OBSERVATION_STATUS = {ReleaseStatus.APPENDED: "final"}


def read(report: ReleasedReport) -> tuple[dict[str, list[Json]], dict[str, Json]]:
    """The resources by kind, and by their URL, through the classes of fhir.resources and back."""
    text = fhir_json(report)
    assert "\n" not in text
    parsed = json.loads(Bundle.model_validate_json(text).model_dump_json())
    by_kind: dict[str, list[Json]] = {}
    by_url: dict[str, Json] = {}
    for entry in parsed["entry"]:
        by_kind.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
        by_url[entry["fullUrl"]] = entry["resource"]
    return by_kind, by_url


def code_of(resource: Json) -> str:
    return str(resource["code"]["coding"][0]["code"])


def component(observation: Json, code: str) -> Any:
    """The value of a component, None where it has none of that code."""
    for part in observation.get("component", []):
        if code_of(part) == code:
            return next(value for name, value in part.items() if name.startswith("value"))
    return None


def observations(resources: dict[str, list[Json]], code: str, label: str) -> Json:
    (found,) = [o for o in resources["Observation"] if code_of(o) == code and component(o, "population") == label]
    return found


@pytest.mark.parametrize("name", REPORTS)
def test_every_number_comes_back(name: str) -> None:
    report = REPORTS[name]
    resources, _ = read(report)
    for p in report.populations:
        ish = observations(resources, "85318-4", p.label)
        counted = [component(ish, code) for code in ("nuclei-counted", "her2-signals", "cep17-signals")]
        assert counted == [p.tally.n, p.tally.her2, p.tally.cep17]
        assert component(ish, "ish-group") == p.group
        assert ish["valueCodeableConcept"]["text"] == p.outcome
        share = component(ish, "population-share")
        assert (None if share is None else share["value"]) == p.share_percent
        wanted = (
            ("49683-6", p.tally.her2, p.tally.cep17, p.ratio_95),
            ("74860-8", p.tally.her2, p.tally.n, p.copy_number_95),
            ("74861-6", p.tally.cep17, p.tally.n, None),
        )
        for code, over, under, interval in wanted:
            number = observations(resources, code, p.label)
            if under == 0:
                assert number["dataAbsentReason"]["coding"][0]["code"] == "not-a-number"
                assert "valueQuantity" not in number
                continue
            assert number["valueQuantity"]["value"] == float(truncated(Fraction(over, under)))
            ends = component(number, "interval-95")
            got = None if ends is None else (ends["low"]["value"], ends["high"]["value"])
            assert got == interval


@pytest.mark.parametrize("name", REPORTS)
def test_status_result_signers_and_pdf_come_back(name: str) -> None:
    report = REPORTS[name]
    resources, by_url = read(report)
    (diagnostic,) = resources["DiagnosticReport"]
    assert diagnostic["status"] == report.status.value
    wanted = OBSERVATION_STATUS.get(report.status, report.status.value)
    assert {o["status"] for o in resources["Observation"]} == {wanted}
    assert diagnostic["conclusion"].startswith(report.headline)
    assert report.reason in diagnostic["conclusion"]
    assert diagnostic["identifier"][0]["value"] == report.number
    forms = diagnostic["presentedForm"]
    assert [base64.b64decode(form["data"]) for form in forms] == [d.pdf for d in report.documents]
    assert [form["title"] for form in forms] == [d.title for d in report.documents]
    for form in forms:  # FHIR's hash is SHA-1
        assert base64.b64decode(form["hash"]) == hashlib.sha1(base64.b64decode(form["data"])).digest()
    people = [by_url[r["reference"]]["name"][0]["text"] for r in diagnostic.get("resultsInterpreter", [])]
    assert people == [signer.name for signer in report.signers]
    (result,) = [o for o in resources["Observation"] if code_of(o) == "48676-1"]
    assert (result["valueCodeableConcept"]["text"], component(result, "ish-group")) == (report.outcome, report.group)


def test_the_models_come_back_with_the_sha256_of_their_weights() -> None:
    resources, by_url = read(BASE)
    (device,) = resources["Device"]
    assert [(v["value"], v["component"]["value"]) for v in device["version"]] == [
        ("detector 1.1", "ab" * 32),
        ("counter 3", "0123456789ab… (first 12 digits recorded)"),
    ]
    (ratio,) = [o for o in resources["Observation"] if code_of(o) == "49683-6"]
    assert by_url[ratio["device"]["reference"]] == device
    older, _ = read(replace(BASE, models=()))
    assert "Device" not in older
    assert not any("device" in o for o in older["Observation"])


def test_patient_and_specimen_come_back() -> None:
    resources, _ = read(BASE)
    (patient,), (specimen,), (organization,) = (resources[kind] for kind in ("Patient", "Specimen", "Organization"))
    assert patient["name"] == [
        {"text": "Kowalczyk-Łęcka, Marta Anna", "family": "Kowalczyk-Łęcka", "given": ["Marta", "Anna"]}
    ]
    assert (patient["identifier"][0]["value"], patient["birthDate"], patient["gender"]) == (
        "MRN 8840127",
        "1961-03-09",
        "female",
    )
    assert specimen["accessionIdentifier"]["value"] == "S26-004512"
    assert (specimen["identifier"][0]["value"], specimen["type"]["text"]) == ("A2", "core biopsy")
    assert specimen["collection"] == {
        "collectedDateTime": "2026-11-17",
        "bodySite": {"text": "left breast, upper outer quadrant"},
    }
    assert organization["name"] == BASE.issuer.name
    (ihc,) = [o for o in resources["Observation"] if code_of(o) == "85319-2"]
    assert ihc["valueCodeableConcept"]["text"] == "2+ on the same tissue sample"


@pytest.mark.parametrize("name", REPORTS)
def test_every_reference_leads_to_a_resource_of_the_bundle(name: str) -> None:
    _, by_url = read(REPORTS[name])
    found = [value for resource in by_url.values() for value in references(resource)]
    assert set(found) <= set(by_url)
    assert len(found) > 10


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if "reference" in value else []
        return own + [r for v in value.values() for r in references(v)]
    return [r for v in value for r in references(v)] if isinstance(value, list) else []


def test_the_same_report_gives_the_same_bundle_and_any_other_release_other_ids() -> None:
    assert fhir_json(BASE) == fhir_json(BASE)
    ids = [json.loads(fhir_json(report))["id"] for report in OTHER_RELEASES]
    assert len(set(ids)) == len(OTHER_RELEASES)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    details = replace(BASE.details, patient_name=text, patient_id=text, accession=text, specimen=text, block=text)
    resources, by_url = read(replace(BASE, details=details, headline=text, reason=text))
    assert resources["Patient"][0]["name"][0]["text"] == text
    assert resources["Patient"][0]["identifier"][0]["value"] == text
    assert len(by_url) == len(read(BASE)[1])


def test_what_is_no_valid_r4_is_refused_without_naming_the_patient() -> None:
    population = replace(BASE.populations[0], ratio_95=(float("nan"), 2.0))
    with pytest.raises(ExchangeError) as caught:
        fhir_json(replace(BASE, populations=(population,)))
    assert "Marta" not in str(caught.value)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(
        lambda t: bool(t.strip())
    ),
    n=st.integers(1, 10_000),
    her2=st.integers(0, 200_000),
    cep17=st.integers(0, 100_000),
)
def test_any_report_is_valid_or_refused(text: str, n: int, her2: int, cep17: int) -> None:
    details = CaseDetails(text, text, text, specimen=text, site=text, block=text)
    population = ReleasedPopulation(text, 12.5, Tally(n, her2, cep17), None, "indeterminate")
    report = replace(BASE, details=details, headline=text, populations=(population,))
    resources, _ = read(report)
    assert resources["Patient"][0]["name"][0]["text"] == text
    ish = observations(resources, "85318-4", text)
    assert component(ish, "her2-signals") == her2
