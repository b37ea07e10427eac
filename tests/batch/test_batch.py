"""A batch: each different image once, whatever else lies in the folder and whoever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from her2core.batch import ModelRecipe, ResultFolder, Summary, ray_is_installed, read_results, run, take_stock
from her2core.batch.work import Analyser, Item, Recipe, analyse_file, gave_up
from her2core.errors import ExchangeError, ModelError, NotFoundError, WeightsMismatchError, WeightsMissingError
from her2core.exchange.analysis import ImageResult
from her2core.models import write_atomically
from her2core.records import RegionAnalysis, models_dict
from tests.batch.recipes import DEADLY, MODELS, Missing, Quick, expected, png

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images in two folders, one of them twice; two bad files; what is no image."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(6):
        png(folder / f"case-{number % 2}" / f"field-{number}.png", number)
    shutil.copy(folder / "case-0" / "field-0.png", folder / "copy.png")
    (folder / "case-1" / "broken.png").write_bytes(png(folder / "x.png", 7).read_bytes()[:200])
    (folder / "x.png").unlink()
    (folder / "empty.tif").touch()
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden").mkdir()
    png(folder / ".hidden" / "secret.png", 9)
    return folder


@pytest.fixture(scope="module")
def analysed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """The folder of results of the archive, and how the run ended."""
    out = tmp_path_factory.mktemp("results") / "out"
    return out, run(archive, out, Quick(), workers=2, engine="processes")


def test_each_different_image_has_one_result_and_bad_files_are_reported(analysed: tuple[Path, Summary]) -> None:
    out, summary = analysed
    assert (summary.files, summary.images, summary.duplicates, summary.done) == (9, 8, 1, 8)
    assert [name for name, _ in sorted(summary.failed)] == ["case-1/broken.png", "empty.tif"]
    images, _ = read_results(out)
    assert len(images) == images["sha256"].nunique() == 8
    assert not images["image"].str.contains("secret|notes").any()
    assert images.set_index("image")["error"].dropna().to_dict() == dict(summary.failed)


def test_the_tables_say_what_was_found(analysed: tuple[Path, Summary]) -> None:
    images, nuclei = read_results(analysed[0])
    good = images[images["error"].isna()].set_index("image")
    for number in range(6):
        row = good.loc[f"case-{number % 2}/field-{number}.png" if number else "copy.png"]  # folder by folder
        assert (row["n"], row["her2"]) == expected(number)
        own = nuclei[nuclei["sha256"] == row["sha256"]]
        assert (len(own), own["her2"].sum()) == expected(number)
        assert own.iloc[0]["signals"][0] == {"channel": "her2", "x": 30.0, "y": 30.5}
    assert good["detector"].unique().tolist() == [str(MODELS[0])]
    assert good["counter_sha256"].unique().tolist() == [MODELS[1].sha256]
    assert json.loads(good.iloc[0]["quality"]) == {"focus": 0.7, "snr": None}


def test_every_file_leads_to_its_image(archive: Path, analysed: tuple[Path, Summary]) -> None:
    files = pd.read_parquet(analysed[0] / "files.parquet").set_index("image")
    assert len(files) == 9
    assert files["sha256"]["copy.png"] == files["sha256"]["case-0/field-0.png"]
    broken = hashlib.sha256((archive / "case-1" / "broken.png").read_bytes()).hexdigest()
    assert files["sha256"]["case-1/broken.png"] == broken


def test_a_second_run_writes_nothing_names_what_still_fails_and_a_new_image_is_added(
    archive: Path, tmp_path: Path
) -> None:
    source, out, log = tmp_path / "source", tmp_path / "out", tmp_path / "log"
    shutil.copytree(archive, source)
    log.mkdir()
    first = run(source, out, Quick(), engine="processes")
    parts = {path: path.stat().st_mtime_ns for path in out.glob("*/*.parquet")}
    again = run(source, out, Quick(log=log), engine="processes")
    assert (again.before, again.done, list(log.iterdir())) == (6, 2, [])
    assert sorted(again.failed) == sorted(first.failed)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.parquet")} == parts
    png(source / "late.png", 40)
    more = run(source, out, Quick(log=log), engine="processes")
    assert (more.before, more.done, len(more.failed), len(list(log.iterdir()))) == (6, 3, 2, 1)
    assert len(read_results(out)[0]) == 9


@pytest.mark.parametrize("error", [MemoryError("not now"), OSError(5, "Input/output error"), None], ids=repr)
def test_what_failed_is_tried_again_and_its_result_takes_the_place_of_the_error(
    error: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`None`: it ended its worker three times."""
    source, out, passing = tmp_path / "source", tmp_path / "out", tmp_path / "passing"
    for number in range(4):
        png(source / f"{number}.png", number)
    passing.touch()

    def analyse(item: Item) -> ImageResult:
        if item.name == "2.png" and passing.exists():
            return gave_up(item) if error is None else analyse_file(item, _raising(error), Quick().limits)
        return analyse_file(item, Quick().analyse, Quick().limits)

    def through(items: Sequence[Item], recipe: Recipe, workers: int) -> Iterator[tuple[Item, ImageResult]]:
        return ((item, analyse(item)) for item in items)

    monkeypatch.setattr(sys.modules["her2core.batch.run"], "through_processes", through)
    first = run(source, out, Quick(), engine="processes", part=2)
    assert (first.done, [name for name, _ in first.failed]) == (4, ["2.png"])
    still = run(source, out, Quick(), engine="processes", part=2)
    assert (still.before, still.done, still.failed) == (3, 1, first.failed)
    passing.unlink()
    good = run(source, out, Quick(), engine="processes", part=2)
    assert (good.before, good.done, good.failed) == (3, 1, ())
    last = run(source, out, Quick(), engine="processes", part=2)
    assert (last.before, last.done, last.failed) == (4, 0, ())
    images, nuclei = read_results(out)
    assert sorted(images["image"]) == ["0.png", "1.png", "2.png", "3.png"]
    assert images["error"].isna().all()
    assert len(nuclei) == images["found"].sum() == sum(expected(number)[0] for number in range(4))


def test_another_error_takes_the_place_of_the_first_and_a_kill_between_the_tables_leaves_no_image_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [Item("x", f"{n}.png", str(n) * 64) for n in range(3)]
    first, second = (ImageResult("1.png", error=words) for words in ("first", "second"))
    with ResultFolder(tmp_path, Quick().identity()) as results:
        for item, result in zip(items, (ImageResult("0.png", _analysis()), first, first), strict=True):
            results.add(item, result)
    with ResultFolder(tmp_path, Quick().identity()) as results:
        assert results.done == {items[0].sha256}
        assert results.add(items[1], second)
        assert not results.add(items[1], ImageResult("1.png", _analysis()))  # as Ray may give one twice
    assert _errors(tmp_path) == {"0.png": None, "1.png": "second", "2.png": "first"}
    written: list[Path] = []

    def killed(path: Path, data: bytes) -> None:
        if len(written) == 2:  # the error is taken out and the nuclei are there, their image not
            raise KeyboardInterrupt
        written.append(path)
        write_atomically(path, data)

    with pytest.raises(KeyboardInterrupt), ResultFolder(tmp_path, Quick().identity()) as results:
        monkeypatch.setattr("her2core.batch.results._write", killed)
        results.add(items[2], ImageResult("2.png", _analysis()))
    monkeypatch.undo()
    assert _errors(tmp_path) == {"0.png": None, "1.png": "second"}
    with ResultFolder(tmp_path, Quick().identity()) as results:
        assert results.done == {items[0].sha256}
        results.add(items[2], ImageResult("2.png", _analysis()))
    assert _errors(tmp_path) == {"0.png": None, "1.png": "second", "2.png": None}


def test_an_image_that_ends_its_process_is_left_out_after_three_times_and_the_others_go_on(tmp_path: Path) -> None:
    source, log = tmp_path / "source", tmp_path / "log"
    log.mkdir()
    for number in (1, DEADLY, 3):
        png(source / f"{number}.png", number)
    summary = run(source, tmp_path / "out", Quick(log=log), workers=2, engine="processes")
    assert [(name, "ended 3 times" in error) for name, error in summary.failed] == [(f"{DEADLY}.png", True)]
    assert summary.done == 3
    assert len(list(log.glob(f"{DEADLY}-*"))) == 3
    assert len(list(log.iterdir())) == 5


def test_an_exception_of_a_library_is_the_result_of_its_image_only(tmp_path: Path) -> None:
    png(tmp_path / "source" / "a.png", 66)
    png(tmp_path / "source" / "b.png", 67)
    summary = run(tmp_path / "source", tmp_path / "out", Quick(), engine="processes")
    assert [name for name, _ in summary.failed] == ["a.png"]
    assert summary.done == 2


def test_missing_weights_are_said_in_words_and_nothing_is_written(tmp_path: Path) -> None:
    png(tmp_path / "source" / "a.png", 1)
    with pytest.raises(ModelError, match="Restore the folder"):
        run(tmp_path / "source", tmp_path / "out", Missing(), engine="processes")
    assert list((tmp_path / "out" / "images").iterdir()) == []
    with pytest.raises(WeightsMissingError):
        run(tmp_path / "source", tmp_path / "out2", ModelRecipe(tmp_path))


def test_results_of_other_models_are_not_mixed_in(archive: Path, tmp_path: Path) -> None:
    out, item = tmp_path / "out", Item("a", "a.png", "0" * 64)
    with ResultFolder(out, Quick().identity()) as results, pytest.raises(WeightsMismatchError, match="same release"):
        results.add(item, ImageResult("a.png", replace(_analysis(), models=_analysis().models[:1])))
    newer = replace(MODELS[1], version="2")
    with pytest.raises(ExchangeError, match=r"other models or settings \(models: .*stand-in 1.*, now .*stand-in 2"):
        ResultFolder(out, Quick().identity() | {"models": models_dict([MODELS[0], newer])}).__enter__()
    with pytest.raises(ExchangeError, match=r"\(clusters: False, now True\)"):
        ResultFolder(out, Quick().identity() | {"clusters": True}).__enter__()
    (tmp_path / "strange" / "images").mkdir(parents=True)
    with pytest.raises(ExchangeError, match="something else"):
        ResultFolder(tmp_path / "strange", Quick().identity()).__enter__()


@pytest.mark.parametrize("old", ["models", "images", "nuclei", "schema"])
def test_a_batch_of_another_release_says_what_to_do_and_stays_as_it_is(old: str, tmp_path: Path) -> None:
    with ResultFolder(tmp_path, Quick().identity()) as results:
        results.add(Item("a", "a.png", "0" * 64), ImageResult("a.png", _analysis()))
    about, part = tmp_path / "batch.json", tmp_path / old / "part-00001.parquet"
    said = json.loads(about.read_text())
    if part.exists():
        pd.read_parquet(part).drop(columns=["counter_sha256" if old == "images" else "focus"]).to_parquet(part)
    else:
        said |= {"models": {"detector": "stand-in 1 aaaa"}} if old == "models" else {"schema": "her2core.batch/0"}
        about.write_text(json.dumps(said))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    with pytest.raises(ExchangeError, match=r"another release of her2core.*Finish it with that release, or choose"):
        ResultFolder(tmp_path, Quick().identity()).__enter__()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before


def test_two_batches_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with ResultFolder(tmp_path, Quick().identity()), pytest.raises(ExchangeError, match="Another batch"):
        ResultFolder(tmp_path, Quick().identity()).__enter__()
    with ResultFolder(tmp_path, Quick().identity()):
        pass


def test_a_part_that_was_not_finished_is_taken_away_and_its_images_wait_again(tmp_path: Path) -> None:
    items = [Item("x", f"{n}.png", str(n) * 64) for n in range(4)]
    with ResultFolder(tmp_path, Quick().identity(), part=2) as results:
        for item in items:
            assert results.add(item, ImageResult(item.name, _analysis()))
            assert not results.add(item, ImageResult(item.name, _analysis()))
    (tmp_path / "images" / "part-00002.parquet").unlink()  # as if killed between the two tables
    (tmp_path / "images" / ".part-00003.parquet.1.tmp").touch()
    with ResultFolder(tmp_path, Quick().identity(), part=2) as results:
        assert results.done == {items[0].sha256, items[1].sha256}
        for item in items:
            results.add(item, ImageResult(item.name, _analysis()))
    images, nuclei = read_results(tmp_path)
    assert sorted(images["image"]) == ["0.png", "1.png", "2.png", "3.png"]
    assert len(nuclei) == 4 * len(_analysis().nuclei)


def test_a_file_that_changes_under_the_batch_is_said_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = png(tmp_path / "source" / "a.png", 1)
    (found,) = take_stock(tmp_path / "source")
    png(path, 2)
    assert found.sha256 is not None
    result = analyse_file(Item(str(path), "a.png", found.sha256), Quick().analyse, Quick().limits)
    assert result.error is not None
    assert "changed" in result.error
    with pytest.raises(NotFoundError):
        list(take_stock(tmp_path / "nowhere"))


def test_ray_is_asked_for_in_words_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["her2core.batch.run"], "ray_is_installed", lambda: False)
    for options in ({"engine": "ray"}, {"address": "10.0.0.1:6379"}):
        with pytest.raises(ExchangeError, match=r"requirements-batch\.txt"):
            run(tmp_path, tmp_path / "out", Quick(), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="engine"):
        run(tmp_path, tmp_path / "out", Quick(), engine="spark")


def test_a_killed_batch_goes_on_where_it_was(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    for number in range(30):
        png(source / f"{number}.png", number)
    script = (
        "from pathlib import Path; from her2core.batch import run; from tests.batch.recipes import Quick\n"
        f"if __name__ == '__main__': run(Path({str(source)!r}), Path({str(out)!r}), Quick(0.02), part=4, "
        "engine='processes')"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    patience = time.monotonic() + 60
    while not list(out.glob("images/part-00002.parquet")) and time.monotonic() < patience:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    summary = run(source, out, Quick(), engine="processes")
    assert 8 <= summary.before < 30
    assert summary.before + summary.done == 30
    images, _ = read_results(out)
    assert sorted(images["image"]) == sorted(f"{n}.png" for n in range(30))


@pytest.mark.skipif(not ray_is_installed(), reason="ray is not installed: pip install -r requirements-batch.txt")
@pytest.mark.filterwarnings("ignore")  # Ray warns of its own settings
@pytest.mark.timeout(400)
def test_ray_gives_the_same_results_as_processes(archive: Path, analysed: tuple[Path, Summary], tmp_path: Path) -> None:
    png(tmp_path / "source" / "deadly.png", DEADLY)
    shutil.copytree(archive, tmp_path / "source", dirs_exist_ok=True)
    summary = run(tmp_path / "source", tmp_path / "out", Quick(), workers=2, engine="ray")
    assert [("ended 3 times" in error) for name, error in summary.failed if name == "deadly.png"] == [True]
    by_ray, by_processes = (read_results(folder) for folder in (tmp_path / "out", analysed[0]))
    columns = ["sha256", "image", "error", "n", "her2", "cep17", "found"]
    rows = by_ray[0][by_ray[0]["image"] != "deadly.png"][columns].sort_values("image").reset_index(drop=True)
    assert rows.equals(by_processes[0][columns].sort_values("image").reset_index(drop=True))
    keys = ["sha256", "id"]
    for column in ("her2", "x0", "score"):
        first, second = (t[1].set_index(keys).sort_index()[column] for t in (by_ray, by_processes))
        assert first.equals(second)
    with pytest.raises(ModelError, match="Restore the folder"):
        run(tmp_path / "source", tmp_path / "missing", Missing(), engine="ray")


def _raising(error: Exception) -> Analyser:
    def analyse(pixels_rgb: object) -> RegionAnalysis:
        raise error

    return analyse


def _errors(out: Path) -> dict[str, str | None]:
    """The error of each image, None where it was analysed. Fails where an image has two rows."""
    images, _ = read_results(out)
    assert images["image"].is_unique
    return {row["image"]: None if pd.isna(row["error"]) else row["error"] for row in images.to_dict("records")}


def _analysis() -> RegionAnalysis:
    pixels = np.zeros((64, 64, 3), np.uint8)
    return Quick().analyse(pixels)
