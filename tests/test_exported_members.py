"""`__all__` says truly what a module offers."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "her2core").rglob("*.py") if path.name != "__main__.py")
PACKAGES = [".".join(path.parent.parts) for path in FILES if path.name == "__init__.py"]
MODULES = PACKAGES + [".".join(path.with_suffix("").parts) for path in FILES if path.name != "__init__.py"]


def _own_public(module: ModuleType) -> set[str]:
    """Public classes and functions that are defined in the module itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_all_names_exist_and_are_listed_once(name: str) -> None:
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed))
    assert [entry for entry in listed if not hasattr(module, entry)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if not name.rpartition(".")[2].startswith("_")])
def test_modules_that_list_their_names_list_every_public_one(name: str) -> None:
    module = importlib.import_module(name)
    if hasattr(module, "__all__"):
        assert sorted(_own_public(module) - set(module.__all__)) == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_module_imports_a_private_module_of_another_room(file: Path) -> None:
    taken = [node.module for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.ImportFrom)]
    private = [name for name in taken if name and name.startswith("her2core.") and "._" in name]
    own = ".".join(file.parent.parts)
    assert [name for name in private if name.partition("._")[0] != own] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_reexport_only_what_their_modules_list(package: str) -> None:
    """What a package passes on is public in the module that it comes from."""
    module = importlib.import_module(package)
    for entry in getattr(module, "__all__", []):
        value = getattr(module, entry)
        home = inspect.getmodule(value) if inspect.isclass(value) or inspect.isfunction(value) else None
        if home is not None and home.__name__.startswith(f"{package}.") and hasattr(home, "__all__"):
            assert entry in home.__all__, f"{entry} of {home.__name__}"
