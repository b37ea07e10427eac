"""The command line under test, and a laboratory for it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
from PIL import Image

from her2core import cli
from her2core.records import Channel, ModelUsed, Nucleus, RegionAnalysis, Signal

Run = Callable[..., click.testing.Result]

PASSWORD = "Winter-Cobalt-93"
CA_PASSPHRASE = "root key of the tests"


def invoke(*arguments: object, stdin: str | None = None) -> click.testing.Result:
    """Run a command in this process; unexpected exceptions come through as they are."""
    words = [str(argument) for argument in arguments]
    result = click.testing.CliRunner().invoke(cli.main, words, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def run() -> Run:
    """The command line."""
    return invoke


@pytest.fixture(scope="session")
def made_laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory with an administrator and a pathologist who can sign; made once, copied for each test."""
    folder = tmp_path_factory.mktemp("laboratory") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HER2CORE_DATA", str(folder))
        _settings(patch)
        for username, role, name in (("root", "administrator", "Ada Root"), ("berg", "pathologist", "Miriam Berg")):
            words = ("user", "add", username, "--role", role, "--name", name, "--password-stdin")
            done = invoke(*words, stdin=f"{PASSWORD}\n")
            assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def laboratory(made_laboratory: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A laboratory of this test's own; its folder."""
    shutil.copytree(made_laboratory, data_dir)
    _settings(monkeypatch)
    return data_dir


def _settings(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HER2CORE_CA_PASSPHRASE", CA_PASSPHRASE)
    patch.setenv("HER2CORE_LABORATORY_NAME", "Test Laboratory")


def png(path: Path, shade: int = 90, side: int = 200) -> Path:
    """An image with separate channels, different for each shade."""
    y, x = np.mgrid[:side, :side]
    blue = shade + 60 * ((x // 20 + y // 20) % 2)  # the first pixel is `shade`
    pixels = np.stack([x % 97, y % 83, blue], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def scripted_models(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The pipeline replaced by one that finds as many nuclei as a tenth of the blue of the first pixel.

    Returns what it was asked to do, call by call. The real pipeline is run by `test_analyze_with_real_models.py`.
    """
    asked: list[dict[str, Any]] = []

    def load_models(weights_dir: Path, device: str, counting: str) -> str:
        asked.append({"weights": weights_dir, "device": device, "counting": counting})
        return "models"

    def analyse(pixels_rgb: Any, models: str, *, clusters_expected: bool, progress: Any) -> RegionAnalysis:
        asked.append({"models": models, "clusters": clusters_expected})
        progress(0.5, "counting")
        blue = int(pixels_rgb[:1, :1][0, 0, 2])
        if blue == 66:
            raise RuntimeError("out of memory")
        nuclei = tuple(
            Nucleus(
                i + 1,
                (20.0, 10.0, 60.0, 50.0),
                0.9,
                6,
                2,
                6.1,
                2.2,
                False,
                True,
                None,
                (Signal(Channel.HER2, 30.0, 30.0),),
            )
            for i in range(blue // 10)
        )
        height, width = pixels_rgb.shape[:2]
        used = (ModelUsed("detector", "d", "1", "aa" * 32), ModelUsed("counter", "c", "1", "bb" * 32))
        return RegionAnalysis(width, height, nuclei, used, {"focus": 0.7})

    monkeypatch.setattr("her2core.pipeline.load_models", load_models)
    monkeypatch.setattr("her2core.pipeline.analyse", analyse)
    return asked
