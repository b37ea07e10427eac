"""`serve`: the real laboratory, and nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from her2core.cli import laboratory as room
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parent.parent.parent
Started = list[list[str]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What would have been started instead of this process."""
    commands: Started = []
    monkeypatch.setattr(os, "execve", lambda path, command, environment: commands.append(command))
    return commands


def test_laboratory_without_administrator_is_refused_with_the_command_that_makes_one(
    run: Run, data_dir: Path, started: Started
) -> None:
    done = run("serve")
    assert done.exit_code == 1
    assert "python -m her2core user add" in done.stderr
    assert not started
    assert not data_dir.exists()


def test_pathologists_alone_do_not_make_a_laboratory(run: Run, data_dir: Path, started: Started) -> None:
    words = ("user", "add", "berg", "--role", "pathologist", "--name", "Miriam Berg", "--password-stdin")
    assert run(*words, stdin="Winter-Cobalt-93\n").exit_code == 0
    assert run("serve").exit_code == 1
    assert not started


def test_laboratory_is_started_on_the_local_address(run: Run, laboratory: Path, started: Started) -> None:
    assert run("serve", "--port", 8777).exit_code == 0
    (command,) = started
    assert command[1:5] == ["-m", "streamlit", "run", str(ROOT / "app.py")]
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.port") + 1] == "8777"


def test_demonstration_is_refused_by_its_setting(
    run: Run, laboratory: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HER2CORE_DEMO", "1")
    assert run("serve").exit_code == 1
    assert not started


@pytest.mark.parametrize("environment", [None, "0"])
def test_demonstration_folder_is_refused_whatever_the_environment_says(
    run: Run, laboratory: Path, started: Started, monkeypatch: pytest.MonkeyPatch, environment: str | None
) -> None:
    (laboratory / "settings.toml").write_text("demo = true\n")
    if environment is not None:
        monkeypatch.setenv("HER2CORE_DEMO", environment)
    done = run("serve")
    assert done.exit_code == 1
    assert "demonstration" in done.stderr
    assert not started


def test_unknown_setting_is_named(run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_DEVISE", "cpu")
    done = run("serve")
    assert done.exit_code == 1
    assert "HER2CORE_DEVICE" in done.stderr


def test_app_is_where_serve_looks_for_it() -> None:
    assert room.APP.is_file()


def test_served_laboratory_answers_and_stops(laboratory: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "her2core", "serve", "--port", str(port)], cwd=ROOT, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        health = b""
        while not health and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                    health = answer.read()
            except OSError:
                continue
        assert health == b"ok"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) is not None
