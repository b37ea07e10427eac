"""What a fresh clone needs is there, pinned, and started by the two commands."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_FOLDERS = sorted(path.parent for path in (ROOT / "her2core").rglob("*.py") if "__pycache__" not in path.parts)


def requirements(name: str) -> dict[str, str]:
    """Distribution -> pinned version, as a requirements file says."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pins = {}
    for line in filter(None, lines):
        if line.startswith("-r "):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[a-z,]+\])?==([0-9][0-9A-Za-z.]*)", line)
        assert match is not None, f"{name}: {line!r} is not an exact pin"
        pins[canonical(match[1])] = match[3]
    return pins


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_by(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def application_files() -> list[Path]:
    files = [*(ROOT / "her2core").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"]
    return [path for path in files if path.exists()]


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned_exactly_and_installed_as_pinned(name: str) -> None:
    for distribution, pinned in requirements(name).items():
        assert version(distribution).partition("+")[0] == pinned, distribution


def test_torch_and_torchvision_are_the_matching_pair() -> None:
    pins = requirements("requirements.txt")
    assert (pins["torch"], pins["torchvision"]) == ("2.14.1", "0.29.1")


def test_everything_that_the_application_imports_is_required() -> None:
    required = set(requirements("requirements.txt"))
    homes = packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in application_files()
        for name in imported_by(path)
        if name not in sys.stdlib_module_names
        and name != "her2core"
        and not required & {canonical(home) for home in homes.get(name, [])}
    }
    # Rooms that know how to do without: asn1crypto comes with pyHanko, whose API hands out its objects.
    assert {entry for entry in missing if not entry.endswith(": asn1crypto")} == set()


def test_every_folder_of_the_package_is_a_package() -> None:
    assert [str(folder) for folder in PACKAGE_FOLDERS if not (folder / "__init__.py").exists()] == []


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")


def test_make_test_checks_everything_and_ends_with_pytest() -> None:
    plan = make("-n", "test")
    steps = [plan.index(step) for step in ("/ruff check", "/ruff format --check", "/mypy", "/lint-imports")]
    assert steps == sorted(steps)
    assert plan.rstrip().splitlines()[-1].endswith("-m pytest --numprocesses 2 --dist loadfile")


def test_make_run_fills_the_demonstration_and_starts_on_the_local_address_only() -> None:
    plan = make("-n", "run")
    assert plan.index("-m her2core demo") < plan.index("streamlit run app.py")
    assert "HER2CORE_DEMO=1" in plan
    assert "--server.address 127.0.0.1 --server.port 8501" in plan


def test_changed_requirements_install_again(tmp_path: Path) -> None:
    """The stamp in .venv is named after what the requirements say, not after when the file was touched."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    stamp = re.search(r"touch (\.venv/\.app-[0-9a-f]+)", make("-C", str(tmp_path), "-n", "venv"))
    assert stamp is not None
    (tmp_path / stamp[1]).touch()
    assert "pip" not in make("-C", str(tmp_path), "-n", "venv")
    with (tmp_path / "requirements.txt").open("a") as file:
        file.write("another==1.0\n")
    assert "pip" in make("-C", str(tmp_path), "-n", "venv")


def test_a_missing_python_is_said_in_words(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    assert "Python 3.11 or newer" in make("-C", str(tmp_path), "venv", "PYTHON=")


def test_the_module_starts_in_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "her2core", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.search(r"her2core, version \d+\.\d+", done.stdout)


def test_help_does_not_wait_for_torch_or_streamlit() -> None:
    code = (
        "import sys, her2core.cli; "
        "print(sorted({'torch', 'streamlit', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
