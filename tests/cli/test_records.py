"""`verify`, `check`, `backup`, `restore` and `export` on a laboratory with a signed case."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2core import workflow
from her2core.accounts import Accounts
from her2core.caselog import CaseLog
from her2core.errors import CaseLogError
from her2core.imaging import DEFAULT_LIMITS
from her2core.records import (
    Case,
    CaseDetails,
    CaseState,
    CorrectionKind,
    ModelUsed,
    Nucleus,
    Overlap,
    RegionAnalysis,
    RegionFlags,
    SignalIntensity,
)
from her2core.reporting.content import Laboratory
from her2core.reporting.keys import Keyring
from tests.cli.conftest import CA_PASSPHRASE, PASSWORD, Run

FLAGS = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)
LABORATORY = Laboratory("Test Laboratory")


def _image(accession: str) -> bytes:
    """Another one for each case."""
    pixels = np.random.default_rng(list(accession.encode())).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _analysis() -> RegionAnalysis:
    nuclei = tuple(
        Nucleus(i + 1, (10.0 + 12 * i, 20.0, 50.0 + 12 * i, 60.0), 0.9, 8, 2, 7.9, 2.1, False, True) for i in range(24)
    )
    return RegionAnalysis(
        400,
        300,
        nuclei,
        (ModelUsed("detector", "detector", "1.0", "a" * 64), ModelUsed("counter", "counter", "1", "b" * 64)),
    )


def _reviewed_case(folder: Path, accession: str) -> Case:
    """The walk of a case, as the pages take it, with an analysis that is given instead of made."""
    with CaseLog(folder) as log:
        berg = Accounts(log).sign_in("berg", PASSWORD)
        case = log.create_case(CaseDetails(accession, "Example, =Ada", "P-1", controls_ok=True), berg)
        region, _ = workflow.add_region(log, case.id, _image(accession), "field.png", berg, DEFAULT_LIMITS)
        workflow.set_flags(log, region.id, FLAGS, berg)
        log.save_analysis(region.id, _analysis(), berg)
        workflow.refresh_state(log, case.id, berg)
        workflow.correct(log, region.id, 3, CorrectionKind.COUNTS, {"her2": 10, "cep17": 2}, berg)
        workflow.confirm_review(log, case.id, log.case(case.id).version, berg)
        return case


def _sign_a_case(folder: Path, accession: str) -> Case:
    """The walk goes on to the signature."""
    case = _reviewed_case(folder, accession)
    with CaseLog(folder) as log:
        accounts, keyring = Accounts(log), Keyring(folder, CA_PASSPHRASE)
        berg = accounts.sign_in("berg", PASSWORD)
        workflow.attest(log, case.id, berg, True)
        for warning in workflow.assess(log, case.id).warnings:
            workflow.acknowledge(log, case.id, warning, berg)
        version = log.case(case.id).version
        workflow.sign_out(
            log, keyring, accounts, case.id, version, berg, PASSWORD, laboratory=LABORATORY, demonstration=False
        )
        return log.case(case.id)


@pytest.fixture(scope="module")
def made_signed(made_laboratory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed") / "data"
    shutil.copytree(made_laboratory, folder)
    assert _sign_a_case(folder, "S26-1").state is CaseState.SIGNED
    return folder


@pytest.fixture
def signed(made_signed: Path, data_dir: Path) -> Iterator[Path]:
    """A laboratory with one signed case; its folder."""
    shutil.copytree(made_signed, data_dir)
    yield data_dir


def _exports(folder: Path) -> int:
    """How many exports the audit trail notes."""
    with CaseLog(folder) as log:
        return len(log.audit(actions=("exported",)))


def _report(folder: Path, out: Path) -> Path:
    with CaseLog(folder) as log:
        out.write_bytes(log.report_pdf(log.reports(log.case_by_accession("S26-1").id)[0].id))
    return out


def test_signed_report_is_verified_by_who_signed_it(run: Run, signed: Path, tmp_path: Path) -> None:
    done = run("verify", _report(signed, tmp_path / "r.pdf"))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("VALID")
    assert "signed by Miriam Berg" in done.stdout


def test_verdict_as_json(run: Run, signed: Path, tmp_path: Path) -> None:
    verdict = json.loads(run("verify", _report(signed, tmp_path / "r.pdf"), "--json").stdout)
    assert (verdict["ok"], verdict["findings"], len(verdict["sha256"])) == (True, [], 64)
    assert verdict["signatures"][0]["signer"] == "Miriam Berg"


@pytest.mark.parametrize("attack", ["flip", "append", "cut", "text", "empty"])
def test_anything_else_is_not_valid(run: Run, signed: Path, tmp_path: Path, attack: str) -> None:
    report = _report(signed, tmp_path / "r.pdf")
    data = bytearray(report.read_bytes())
    if attack == "flip":
        data[len(data) // 3] ^= 1
    report.write_bytes(
        {
            "flip": bytes(data),
            "append": bytes(data) + b"\n",
            "cut": bytes(data[: len(data) // 2]),
            "text": b"HER2 positive",
            "empty": b"",
        }[attack]
    )
    done = run("verify", report)
    assert done.exit_code == 1
    assert done.stdout.startswith("NOT VALID")
    assert json.loads(run("verify", report, "--json").stdout)["findings"]


def test_report_of_another_laboratory_is_not_valid(
    run: Run, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = _report(signed, tmp_path / "r.pdf")
    monkeypatch.setenv("HER2CORE_DATA", str(tmp_path / "other"))
    monkeypatch.setenv("HER2CORE_CA_PASSPHRASE", "another root")
    monkeypatch.setenv("HER2CORE_LABORATORY_NAME", "Another Laboratory")
    words = ("user", "add", "berg", "--role", "pathologist", "--name", "Miriam Berg", "--password-stdin")
    assert run(*words, stdin=f"{PASSWORD}\n").exit_code == 0
    assert run("verify", report).exit_code == 1


def test_missing_report_file_is_said_in_words(run: Run, signed: Path, tmp_path: Path) -> None:
    done = run("verify", tmp_path / "no.pdf")
    assert done.exit_code == 1
    assert "No such file" in done.stderr


def test_intact_log_checks_clean(run: Run, signed: Path) -> None:
    done = run("check")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "sound" in done.stdout


def test_a_head_that_was_kept_tells_whether_the_trail_still_holds_it(run: Run, signed: Path, tmp_path: Path) -> None:
    kept = run("check").stdout.splitlines()[-1].removeprefix("Head of the audit trail: ")
    in_backup = run("backup", tmp_path / "b.tar").stdout.splitlines()[-1].removeprefix("Head of the audit trail: ")
    assert run("check", "--head", kept, "--head", in_backup).exit_code == 0
    done = run("check", "--head", kept, "--head", "ab" * 32)
    assert done.exit_code == 1
    assert f"audit trail: it does not hold the head {'ab' * 32}" in done.stdout
    assert kept not in done.stdout


def test_damaged_image_and_report_are_named(run: Run, signed: Path) -> None:
    for folder in ("images", "reports"):
        (file,) = (signed / folder).iterdir()
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    done = run("check")
    assert done.exit_code == 1
    assert "image of region 1" in done.stdout
    assert "PDF of report 1" in done.stdout


def test_row_changed_behind_her2core_is_named(run: Run, signed: Path) -> None:
    with sqlite3.connect(signed / "caselog.sqlite") as db:
        db.execute("UPDATE users SET full_name = 'Somebody Else' WHERE id = 1")
    db.close()
    done = run("check")
    assert done.exit_code == 1
    assert "account 1" in done.stdout
    assert "Somebody" not in done.output


def test_database_that_is_none_any_more_is_a_finding_not_a_crash(run: Run, signed: Path) -> None:
    for name in ("caselog.sqlite-wal", "caselog.sqlite-shm"):
        (signed / name).unlink(missing_ok=True)
    (signed / "caselog.sqlite").write_bytes(b"no database " * 500)
    done = run("check")
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_lost_root_certificate_is_a_finding(run: Run, signed: Path) -> None:
    (signed / "keys" / "laboratory-ca.pem").unlink()
    done = run("check")
    assert done.exit_code == 1
    assert "signatures" in done.stdout


def test_backup_restores_into_a_new_folder_that_checks_clean(
    run: Run, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, archive = _report(signed, tmp_path / "r.pdf"), tmp_path / "b.tar"
    assert run("backup", archive).exit_code == 0
    monkeypatch.setenv("HER2CORE_DATA", str(tmp_path / "restored"))
    done = run("restore", archive)
    assert done.exit_code == 0, done.output
    assert run("check").exit_code == 0
    assert run("verify", report).exit_code == 0


def test_backup_overwrites_nothing_and_restore_neither(run: Run, signed: Path, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar"
    archive.write_text("yesterday's")
    assert run("backup", archive).exit_code == 1
    assert archive.read_text() == "yesterday's"
    assert run("backup", tmp_path).exit_code == 0
    (made,) = tmp_path.glob("her2core-*.tar")
    done = run("restore", made)
    assert done.exit_code == 1
    assert "overwrites nothing" in done.stderr


def test_damaged_backup_is_refused(run: Run, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "b.tar"
    run("backup", archive)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    monkeypatch.setenv("HER2CORE_DATA", str(tmp_path / "restored"))
    assert run("restore", archive).exit_code == 1
    assert not (tmp_path / "restored" / "caselog.sqlite").exists()


def test_case_is_exported_as_csv_and_noted(run: Run, signed: Path, tmp_path: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(run("export", "S26-1", "--format", "csv").stdout))
    assert (row["accession"], row["nuclei"], row["her2"], row["cep17"]) == ("S26-1", "24", "194", "48")
    assert (row["group"], row["outcome"], row["state"], row["signed_by"]) == ("1", "positive", "Signed", "Miriam Berg")
    with CaseLog(signed) as log:
        assert log.audit(limit=1)[0].action == "exported"


@pytest.mark.parametrize("nuclei", [False, True])
def test_the_csv_is_that_of_the_page(run: Run, signed: Path, nuclei: bool) -> None:
    done = run("export", "S26-1", *(["--nuclei"] if nuclei else []))
    with CaseLog(signed) as log:
        case_id, berg = log.case_by_accession("S26-1").id, Accounts(log).sign_in("berg", PASSWORD)
        assert done.stdout_bytes.decode() == workflow.export_csv(log, [case_id], berg, nuclei=nuclei)
    if not nuclei:
        (row,) = csv.DictReader(io.StringIO(done.stdout))
        assert row["models"] == f"detector 1.0, SHA-256 {'a' * 64}; counter 1, SHA-256 {'b' * 64}"


def test_nuclei_are_exported_with_what_was_corrected(run: Run, signed: Path, tmp_path: Path) -> None:
    out = tmp_path / "nuclei.csv"
    assert run("export", "--all", "--nuclei", "--out", out).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert len(rows) == 24
    assert (rows[2]["ai_her2"], rows[2]["her2"], rows[2]["edited"]) == ("8", "10", "yes")
    assert run("export", "--all", "--out", out).exit_code == 1  # never overwritten


@pytest.mark.parametrize("words", [(), ("--nuclei",), ("--format", "fhir"), ("--format", "hl7")], ids=" ".join)
def test_an_export_that_is_refused_is_not_noted(run: Run, signed: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    out = tmp_path / "out"
    out.write_text("yesterday's")
    done = run("export", "--all", *words, "--out", out)
    assert (done.exit_code, _exports(signed)) == (1, 0)
    assert "nothing is overwritten" in done.stderr
    assert out.read_text() == "yesterday's"
    assert run("export", "--all", *words, "--out", tmp_path / "no folder" / "out").exit_code == 1
    assert _exports(signed) == 0


def test_nothing_is_noted_where_one_of_several_cases_cannot_go_out(run: Run, signed: Path, tmp_path: Path) -> None:
    _reviewed_case(signed, "S26-2")
    assert run("export", "S26-1", "S26-2", "--format", "hl7", "--out", tmp_path / "out").exit_code == 1
    assert (list(tmp_path.glob("out*")), _exports(signed)) == ([], 0)
    (tmp_path / f"{workflow.report_number(2)}.zip").touch()
    assert run("archive", "S26-1", "S26-2", "--out", tmp_path).exit_code == 1
    assert (len(list(tmp_path.glob("*.zip"))), _exports(signed)) == (1, 0)


def test_an_export_is_noted_when_its_file_is_whole_and_before_it_has_its_name(
    run: Run, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "exports"
    out.mkdir()
    found: list[tuple[bytes, bytes]] = []

    def full(*args: object) -> None:
        (part,) = out.glob(".*/part")
        found.append((part.read_bytes(), (out / "out.csv").read_bytes()))
        raise CaseLogError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(CaseLog, "note", full)
        assert run("export", "S26-1", "--out", out / "out.csv").exit_code == 1
    assert list(out.iterdir()) == []
    assert run("export", "S26-1", "--out", out / "out.csv").exit_code == 0
    assert found == [((out / "out.csv").read_bytes(), b"")]
    assert _exports(signed) == 1


def test_signed_report_is_exported_as_fhir_and_hl7(run: Run, signed: Path, tmp_path: Path) -> None:
    bundle = json.loads(run("export", "S26-1", "--format", "fhir").stdout)
    assert bundle["entry"][0]["resource"]["status"] == "final"
    (pdf,) = bundle["entry"][0]["resource"]["presentedForm"]
    assert base64.b64decode(pdf["data"]) == _report(signed, tmp_path / "r.pdf").read_bytes()
    out = tmp_path / "message.hl7"
    assert run("export", "--all", "--format", "hl7", "--out", out).exit_code == 0
    message = out.read_bytes()
    assert message.startswith(b"MSH|^~\\&|HER2CORE|")
    assert b"|her2-signals^" in message
    assert b"\n" not in message
    with CaseLog(signed) as log:
        assert [e.detail["format"] for e in log.audit(limit=2, actions=("exported",))] == ["hl7", "fhir"]


@pytest.mark.parametrize("file_format", ["fhir", "hl7"])
def test_all_preliminary_holds_unsigned_cases_whose_counts_are_confirmed(
    run: Run, signed: Path, file_format: str
) -> None:
    _reviewed_case(signed, "S26-2")
    with CaseLog(signed) as log:  # of a draft there is nothing to tell, and it holds up no other case
        log.create_case(CaseDetails("S26-3", "Example, Bo", "P-3"), Accounts(log).sign_in("berg", PASSWORD))
    assert "S26-2" not in run("export", "--all", "--format", file_format).stdout
    done = run("export", "--all", "--format", file_format, "--preliminary")
    assert done.exit_code == 0, done.output
    assert [accession in done.stdout for accession in ("S26-1", "S26-2", "S26-3")] == [True, True, False]
    done = run("export", "S26-3", "--format", file_format, "--preliminary")
    assert done.exit_code == 1
    assert "not confirmed" in done.stderr


def test_whole_case_is_written_to_a_file_of_its_own(run: Run, signed: Path, tmp_path: Path) -> None:
    done = run("archive", "S26-1", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    data = (tmp_path / "HER2-000001.zip").read_bytes()
    assert workflow.check_archive(data) == []
    assert run("archive", "S26-1", "--out", tmp_path).exit_code == 1  # never overwritten
    assert _exports(signed) == 1
    assert run("archive", "--past-retention", "--out", tmp_path).stdout == ""
    assert run("archive", "--out", tmp_path).exit_code == 2
    assert run("archive", "S26-1", "--deidentified", "--out", tmp_path).exit_code == 0
    (other,) = tmp_path.glob("case-*.zip")
    assert b"reports/" not in other.read_bytes()


@pytest.mark.parametrize(
    "words", [("--format", "fhir", "--nuclei"), ("--preliminary",), ("--format", "dicom")], ids=lambda w: " ".join(w)
)
def test_export_options_that_do_not_go_together_are_refused(run: Run, signed: Path, words: tuple[str, ...]) -> None:
    assert run("export", "S26-1", *words).exit_code == 2


def test_export_needs_known_cases(run: Run, signed: Path) -> None:
    assert run("export").exit_code == 2
    assert run("export", "S26-1", "--all").exit_code == 2
    done = run("export", "S26-404")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
