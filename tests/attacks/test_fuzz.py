"""Whatever is in a settings file, a truth.json, a case that is exported or a PDF: an answer or a refusal in words."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from her2core.errors import ExchangeError, SettingsError, TrainingError
from her2core.exchange.fhir import fhir_json
from her2core.exchange.hl7 import hl7_message
from her2core.records import Tally
from her2core.reporting.keys import Keyring
from her2core.reporting.verify import verify_report
from her2core.settings import Settings, load_settings, variable_of
from her2core.training.detector_data import load_examples, read_truth
from tests.exchange.releases import BASE, DETAILS, population
from tests.proof import Proof, Record, fuzzed, times
from tests.reporting.test_verify import anything

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = list(Settings.__dataclass_fields__)


@pytest.mark.timeout(3600)
def test_settings_files_are_taken_or_refused(record_property: Record, tmp_path: Path) -> None:
    proof = Proof(record_property, "Fuzzing", "settings.toml: any bytes, and known names with any value")
    known = st.tuples(st.sampled_from(NAMES) | st.text(max_size=12), JSON)

    @fuzzed(times(40, 20_000), content=st.binary(max_size=200) | st.lists(known, max_size=4))
    def take(content: bytes | list[tuple[str, Any]]) -> None:
        if isinstance(content, list):
            content = "\n".join(f"{name} = {json.dumps(value)}" for name, value in content).encode("utf-8", "replace")
        (tmp_path / "settings.toml").write_bytes(content)
        try:
            assert isinstance(load_settings({"HER2CORE_DATA": str(tmp_path)}), Settings)
        except SettingsError as error:
            assert str(error)
        proof.tries += 1

    take()
    proof.holds("settings or a SettingsError that says what to change")


@pytest.mark.timeout(3600)
def test_environment_variables_are_taken_or_refused(record_property: Record, tmp_path: Path) -> None:
    proof = Proof(record_property, "Fuzzing", "HER2CORE_* variables: known names and others with any text")
    names = st.sampled_from([variable_of(name) for name in Settings.__dataclass_fields__ if name != "data_dir"])
    texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)

    @fuzzed(times(40, 20_000), given_=st.dictionaries(names | texts.map(lambda t: f"HER2CORE_{t}"), texts, max_size=4))
    def take(given_: dict[str, str]) -> None:
        try:
            load_settings({**given_, "HER2CORE_DATA": str(tmp_path)})
        except SettingsError as error:
            assert str(error)
        proof.tries += 1

    take()
    proof.holds("settings or a SettingsError that says what to change")


@pytest.mark.timeout(3600)
def test_truth_files_are_read_or_refused(record_property: Record, tmp_path: Path) -> None:
    proof = Proof(
        record_property, "Fuzzing", "truth.json: any bytes, any JSON, and entries with any value in any field"
    )
    box = st.lists(st.integers(-10, 700) | st.floats() | st.text(max_size=3), max_size=5) | JSON
    nucleus = st.fixed_dictionaries({}, optional={"box": box, "her2": JSON, "cep17": JSON, "signals": JSON})
    entry = st.fixed_dictionaries(
        {}, optional={"image": st.sampled_from(["../x", "a.png", ""]) | JSON, "nuclei": st.lists(nucleus) | JSON}
    )

    @fuzzed(times(40, 5_000), content=st.binary(max_size=200) | JSON | st.lists(entry, max_size=3))
    def take(content: Any) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (tmp_path / "truth.json").write_bytes(data)
        try:
            load_examples(tmp_path, read_truth(tmp_path), shrink=False)
        except TrainingError as error:
            assert str(error)
        proof.tries += 1

    take()
    proof.holds("read or refused with a TrainingError")


TEXT = st.text(max_size=40)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["FHIR", "HL7"])
def test_any_case_is_written_whole(record_property: Record, kind: str) -> None:
    proof = Proof(record_property, "Fuzzing", f"{kind} writing: any text in every field, any counts and dates")
    counts = st.tuples(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 10**9))
    names = [
        "accession",
        "patient_name",
        "patient_id",
        "requester",
        "specimen",
        "site",
        "block",
        "fixative",
        "probe_kit",
    ]
    text_fields = st.fixed_dictionaries(dict.fromkeys(names, TEXT))
    days = st.dates(date(1800, 1, 1)) | st.none()

    @fuzzed(times(30, 5_000), texts=text_fields, headline=TEXT, tally=counts, born=days)
    def write(texts: dict[str, Any], headline: str, tally: tuple[int, int, int], born: date | None) -> None:
        texts["accession"] = "S" + texts["accession"]  # no case is opened without one
        details = replace(DETAILS, **texts, date_of_birth=born)
        report = replace(
            BASE, details=details, headline=headline, populations=(population(Tally(*tally), 1, "positive"),)
        )
        if kind == "FHIR":
            try:
                assert json.loads(fhir_json(report))["resourceType"] == "Bundle"
            except ExchangeError as error:  # such as a required name that is empty, which no case has
                assert str(error)
        else:
            segments = hl7_message(report).split("\r")
            # A text that could end a segment or a field would add segments.
            assert len(segments) == len(hl7_message(replace(report, details=DETAILS, headline="x")).split("\r"))
            assert all(segment[3:4] in ("|", "") for segment in segments)
        proof.tries += 1

    write()
    proof.holds("written each time, with as many parts as there should be: no text breaks out of its field")


@pytest.mark.timeout(3600)
def test_any_pdf_is_accepted_only_if_it_is_the_one_signed(
    record_property: Record, laboratory: Keyring, signed: bytes
) -> None:
    proof = Proof(
        record_property, "Fuzzing", "PDF verification: a report cut, doubled, overwritten; any bytes behind %PDF-"
    )
    trust = laboratory.trust()
    place = st.integers(0, len(signed))
    changed = st.builds(
        lambda at, gone, put: signed[:at] + put + signed[at + gone :],
        place,
        st.integers(0, 4000),
        st.binary(max_size=60),
    )
    other = st.builds(lambda tail: b"%PDF-1.7\n" + tail, st.binary(max_size=2000))

    @fuzzed(times(15, 2_000), data=changed | other)
    def verify(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = verify_report(data, trust, anything)
        assert verdict.ok is (data == signed)
        assert verdict.ok or verdict.findings
        proof.tries += 1

    verify()
    proof.holds("a verdict in words each time, never an exception; none but the signed file was accepted")
