"""The documents are true to the code: every command, option, setting, page and column is in them, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from her2core.cli import main
from her2core.exchange.analysis import ImageResult, analysis_document
from her2core.exchange.tables import CASE_COLUMNS, NUCLEUS_COLUMNS
from her2core.records import ModelUsed, Nucleus, RegionAnalysis
from her2core.settings import Settings, variable_of
from her2core.ui.frame import PAGES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
COMMAND_LINE = (DOCS / "command-line.md").read_text(encoding="utf-8")
ADMINISTRATION = (DOCS / "administration.md").read_text(encoding="utf-8")
FORMATS = (DOCS / "data-formats.md").read_text(encoding="utf-8")
USER_GUIDE = (DOCS / "user-guide.md").read_text(encoding="utf-8")
PAGE_FILES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for option in parameter.opts
]


def section(title: str) -> str:
    """Text of the sections of the command line document whose heading holds the command."""
    parts = re.split(r"^### ", COMMAND_LINE, flags=re.MULTILINE)[1:]
    return "\n".join(part for part in parts if re.search(rf"`{re.escape(title)}\b", part.partition("\n")[0]))


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section(name: str) -> None:
    assert section(name)


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_in_the_section_of_its_command(name: str, option: str) -> None:
    assert re.search(rf"{option}(?![\w-])", section(name)), f"{name} {option}"


def test_no_section_is_about_a_command_that_is_not_there() -> None:
    titles = re.findall(r"^### (.*)$", COMMAND_LINE, flags=re.MULTILINE)
    for command in re.findall(r"`([a-z]+(?: [a-z]+)?)", " ".join(titles)):
        assert command in COMMANDS or command.partition(" ")[0] in COMMANDS, command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    assert COMMANDS[name].help
    hidden = [
        p.name for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.help and not p.show_default
    ]
    assert [name for name in hidden if name not in ("role", "file_format", "mix", "port")] == []


@pytest.mark.parametrize("field", [field.name for field in fields(Settings)])
def test_every_setting_is_documented(field: str) -> None:
    assert f"`{variable_of(field)}`" in ADMINISTRATION


def test_no_document_names_a_setting_that_is_not_there() -> None:
    known = {variable_of(field.name) for field in fields(Settings)}
    for document in DOCUMENTS:
        assert set(re.findall(r"HER2CORE_[A-Z_]+", document.read_text(encoding="utf-8"))) <= known, document.name


def test_every_page_is_given_to_somebody() -> None:
    assert {file for pages in PAGES.values() for file, _, _ in pages} == {f"pages/{name}.py" for name in PAGE_FILES}


@pytest.mark.parametrize("title", sorted({title for pages in PAGES.values() for _, title, _ in pages}))
def test_every_page_has_a_section_in_the_user_guide(title: str) -> None:
    assert re.search(rf"^## {re.escape(title)}$", USER_GUIDE, flags=re.MULTILINE)


@pytest.mark.parametrize("column", (*CASE_COLUMNS, *NUCLEUS_COLUMNS))
def test_every_column_of_the_tables_is_documented(column: str) -> None:
    assert f"`{column}`" in FORMATS


def test_every_field_of_the_analysis_is_documented() -> None:
    nucleus = Nucleus(1, (0.0, 0.0, 9.0, 9.0), 0.9, 2, 2, 2.0, 2.0, False, True)
    model = ModelUsed("counter", "counter", "1", "b" * 64, "density")
    results = [ImageResult("a", RegionAnalysis(9, 9, (nucleus,), (model,))), ImageResult("b", error="why")]
    document = analysis_document(results)
    image, failed = document["images"]
    for part in (document, model.to_dict(), image, failed, image["nuclei"][0], image["tally"]):
        for name in part:
            assert f'"{name}"' in FORMATS, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = document if not name else document.parent / name
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_every_document_is_one_click_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (*sorted(DOCS.glob("*.md")), ROOT / "CHANGELOG.md"):
        assert f"]({path.relative_to(ROOT).as_posix()})" in readme, path.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_documents_can_be_typed(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = document.read_text(encoding="utf-8")
    for target in re.findall(
        r"\bmake ([a-z-]+)", "\n".join([*code_blocks(text), *re.findall(r"`(make [^`]+)`", text)])
    ):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
    for words in re.findall(r"-m her2core ([a-z]+(?: [a-z]+)?)", text):
        first, _, _ = words.partition(" ")
        assert words in COMMANDS or first in COMMANDS, words


def test_readme_says_what_matters_in_a_minute() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for wanted in ("make run", "make test", "not a cleared", "docs/user-guide.md", "![", "127.0.0.1:8501"):
        assert wanted in text, wanted
    assert len(text.split()) < 600
