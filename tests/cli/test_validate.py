"""`validate`: from annotated cases to a signed pack that `verify` knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from her2core.detection.metrics import ImageDetections
from her2core.laboratory import validating
from her2core.records import Nucleus
from her2core.training.readings import Reading, TrueRegion
from tests.cli.conftest import PASSWORD, Run, png


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Four cases of two images with 15 nuclei each: two amplified, two not."""
    folder = tmp_path / "own"
    folder.mkdir()
    entries: list[dict[str, Any]] = []
    for number in range(8):
        name = f"image-{number}.png"
        png(folder / name, shade=60 + number)
        her2 = 8 if number < 4 else 2
        nuclei = [{"box": [12 * i, 5, 12 * i + 10, 15], "her2": her2, "cep17": 2, "cluster": False} for i in range(15)]
        entries.append({"image": name, "patient": f"P{number // 2}", "nuclei": nuclei})
    (folder / "truth.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def perfect_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that read every region as it is, but the last one, of which they see nothing."""

    def read(pixels: Any, models: Any, region: TrueRegion | None = None) -> Reading:
        number = int(pixels[0, 0, 2]) - 60
        count = 0 if number == 7 else 15
        her2 = 8 if number < 4 else 2
        nuclei = tuple(
            Nucleus(i + 1, (12.0 * i, 5.0, 12.0 * i + 10, 15.0), 0.9, her2, 2, 0.0, 0.0, False, True)
            for i in range(count)
        )
        return Reading(ImageDetections([n.box for n in nuclei], [n.score for n in nuclei]), nuclei)

    monkeypatch.setattr(validating, "read_with_models", read)
    monkeypatch.setattr("her2core.pipeline.load_models", lambda *_: None)


def test_the_pack_has_verdict_numbers_tables_and_digests(run: Run, cases: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("validate", cases, "--out", out)
    assert result.exit_code == 1  # four cases are fewer than forty, and one has no call
    document = json.loads((out / "validation.json").read_text(encoding="utf-8"))
    assert document["cases"]["n"] == 4
    assert document["cases"]["agreement"]["accuracy"] == 0.75
    assert document["cases"]["discordant"] == ["P3"]
    assert [m["stage"] for m in document["made"]["models"]] == ["detector", "counter"]
    assert all(len(m["sha256"]) == 64 for m in document["made"]["models"])
    assert document["verdict"] == "not met"
    table = (out / "cases.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(table) == 5
    assert table[4].startswith("P3,P3,2,5,,0,30,60,60,15,30,30")
    assert (out / "validation.pdf").read_bytes().startswith(b"%PDF-")


def test_limits_of_the_laboratory_decide(run: Run, cases: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(
        "cases = 4\ngroup_concordance = 0.7\ngroup1_specificity = 0.5\nkappa = 0.5\nnuclei_found = 0.8\n",
        encoding="utf-8",
    )
    result = run("validate", cases, "--out", tmp_path / "out", "--limits", limits)
    assert result.exit_code == 0, result.output
    assert "met, but the interval reaches beyond the limit" in result.output


def test_an_unknown_limit_is_told_before_any_image_is_read(run: Run, cases: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("concordance = 0.9\n", encoding="utf-8")
    result = run("validate", cases, "--out", tmp_path / "out", "--limits", limits)
    assert result.exit_code == 1
    assert "unknown limit" in result.output
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read_is_told_and_the_rest_is_judged(run: Run, cases: Path, tmp_path: Path) -> None:
    (cases / "image-0.png").write_bytes(b"no image")
    entries = json.loads((cases / "truth.json").read_text(encoding="utf-8"))
    entries.append({**entries[1], "image": "../outside.png"})
    (cases / "truth.json").write_text(json.dumps(entries), encoding="utf-8")
    result = run("validate", cases, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "image-0.png: FAILED" in result.output
    assert "../outside.png: FAILED: the image lies outside the folder" in result.output
    document = json.loads((tmp_path / "out" / "validation.json").read_text(encoding="utf-8"))
    assert document["cases"]["left out"] == ["P0"]


@pytest.mark.usefixtures("laboratory")
def test_a_signed_pack_is_known_to_the_laboratory_and_a_changed_one_is_not(
    run: Run, cases: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("validate", cases, "--out", out, "--sign", "berg", "--password-stdin", stdin=f"{PASSWORD}\n")
    pack = out / "validation.pdf"
    verified = run("verify", pack)
    assert verified.exit_code == 0, verified.output
    assert "signed by Miriam Berg" in verified.output
    pack.write_bytes(pack.read_bytes() + b"\n")
    assert run("verify", pack).exit_code == 1


@pytest.mark.usefixtures("laboratory")
def test_a_wrong_password_is_told_before_the_work_begins(run: Run, cases: Path, tmp_path: Path) -> None:
    result = run("validate", cases, "--out", tmp_path / "out", "--sign", "berg", "--password-stdin", stdin="wrong\n")
    assert result.exit_code == 1
    assert "does not open your signing key" in result.output
    assert not (tmp_path / "out").exists()
