"""The models on the page: what their cards say, whether each file is the one of its card, and the benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.permissions import Action, decide
from her2core.records import User
from her2core.ui import learning, model_words
from her2core.ui.services import Services
from her2core.ui.words import counting_words, plain

__all__ = [
    "ACCURACY_GUIDE",
    "RESULTS_DIR",
    "ModelFile",
    "benchmark_figures",
    "draw",
    "model_files",
    "where_it_fails",
]

RESULTS_DIR = Path(__file__).parents[2] / "benchmarks" / "results"
ACCURACY_GUIDE = Path(__file__).parents[2] / "docs" / "accuracy.md"
_CARDS, _BENCHMARK, _LEARNING, _NEXT = "Model cards", "Benchmark", "Learning", "What to annotate next"
_METRICS = ("metrics", "validation")
_SAID_BEFORE = frozenset({"architecture", "regenerate", "fails", "sha256"})  # as they are
_OF_COUNTS = (
    "The network draws a map of the signals. Peaks: single signals; the map's sum: also those that run into each "
    "other; regression: their number at once. Bias above 0: too many."
)
_STAGES = {"detector": "Stage 1: finds the nuclei", "counter": "Stage 2: counts the signals"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Weights with their card. `problem` says, for the user, why they cannot be used; None where file and card agree.

    `card` is None where it cannot be read. `size_bytes` is None without a file.
    """

    path: Path
    card: Mapping[str, Any] | None
    problem: str | None
    size_bytes: int | None


def model_files(folder: Path) -> list[ModelFile]:
    """Every model of the folder, by name: each card or weights file is listed, also where its partner is missing."""
    paths = {p.with_suffix(".safetensors") for pattern in ("*.json", "*.safetensors") for p in folder.glob(pattern)}
    return [_checked(path) for path in sorted(paths) if not path.name.startswith(".")]


def _checked(path: Path) -> ModelFile:
    from her2core.models import card_of, load_weights  # torch takes seconds to import; only this page waits for it

    card: Mapping[str, Any] | None = None
    problem = None
    try:
        card = card_of(path)
        load_weights(path)  # the very check that every analysis makes before it uses them
    except Her2CoreError as error:
        problem = str(error)
    except OSError as error:
        problem = f"The weights {path.name} cannot be read ({type(error).__name__})."
    return ModelFile(path, card, problem, path.stat().st_size if path.is_file() else None)


def where_it_fails(card: Mapping[str, Any]) -> str:
    """What the card says of the model's limits, as Markdown; says so where the card is silent."""
    said = card.get("fails")
    if isinstance(said, str) and said.strip():
        return plain(said)
    if isinstance(said, list | tuple) and said:
        return "\n".join(f"- {plain(str(line))}" for line in said)
    if isinstance(said, Mapping) and said:
        return "\n".join(f"- **{plain(str(name))}**: {plain(str(line))}" for name, line in said.items())
    return "The card does not say where this model fails. Do not rely on it for cases that training may not have shown."


def benchmark_figures(folder: Path) -> list[tuple[str, Path]]:
    """The figures beside the benchmark's table, with what each shows, in the order of their names."""
    found = sorted(p for p in folder.glob("**/*.png") if not p.name.startswith("."))
    return [
        (" · ".join(part.replace("-", " ") for part in p.relative_to(folder).with_suffix("").parts), p) for p in found
    ]


# --- the page ---------------------------------------------------------------------------------------------------------


def draw(rooms: Services, user: User) -> None:
    """The models in use and the benchmark; for a lab manager also what they learn from, and which ones count."""
    views = [_CARDS, _BENCHMARK, *((_LEARNING, _NEXT) if decide(user, Action.MANAGE_MODELS) else ())]
    view = _CARDS
    if len(views) > 1:
        view = st.segmented_control(
            "Show", views, default=_CARDS, required=True, key="models_view", label_visibility="collapsed",
            persist_state="session",
        )  # fmt: skip
    if view == _BENCHMARK:
        _benchmark(RESULTS_DIR)
    elif view == _LEARNING:
        learning.draw(rooms, user)
    elif view == _NEXT:
        learning.draw_list(rooms, user)
    else:
        _cards(rooms)


def _cards(rooms: Services) -> None:
    with st.spinner("Checking the files"):
        found = model_files(workflow.models_dir(rooms.log, rooms.settings.weights_dir))
    if not found:
        st.error("There are no models in the folder of the settings; nothing can be analysed.", icon=":material/error:")
        return
    st.caption(f"{counting_words(rooms.settings.counting)}. The administrator chooses the way in the settings.")
    order = {"detector": 0, "counter": 1}
    found.sort(key=lambda model: order.get(model.path.stem, 2))
    for column, model in zip(st.columns(len(found), gap="medium"), found, strict=True):
        with column, st.container(border=True):
            _card(model)


def _card(model: ModelFile) -> None:
    card = model.card or {}
    name = str(card.get("name", model.path.stem))
    left, right = st.columns([2.2, 1], vertical_alignment="center")
    left.subheader(f"{plain(name)} {plain(str(card.get('version', '')))}", anchor=False)
    if model.problem is None:
        right.badge("File matches its card", icon=":material/verified:", color="green")
    else:
        right.badge("Not usable", icon=":material/error:", color="red")
    st.caption(_STAGES.get(name, plain(str(card.get("stage", "")))) + f" · {plain(model.path.name)}{_size(model)}")
    if model.problem is not None:
        st.error(model.problem, icon=":material/error:")
    if model.card is None:
        return
    st.markdown(model_words.arithmetic(card))
    st.caption("SHA-256 of the weights, as reports name it")
    st.code(str(card["sha256"]), language=None, wrap_lines=True)
    st.warning(f"**Where it fails**\n\n{where_it_fails(card)}", icon=":material/report:")
    for part in _METRICS:
        _measures(model_words.measures(card.get(part) or {}))
    _part("What each way of counting gives", model_words.contributions(card.get("contributes") or {}))
    _part("What it learned from", _learned_from(card), expanded=True)
    _part("What it was adjusted on after training", model_words.facts(card.get("read") or {}))
    _part("Settings of the model", model_words.settings(card.get("config", {})))
    _for_engineers(card)


def _learned_from(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    before = card.get("start_from")
    return [
        *([("Model that it began as", str(before))] if before else []),
        *model_words.facts(card.get("data") or {}),
    ]


def _size(model: ModelFile) -> str:
    return "" if model.size_bytes is None else f", {model.size_bytes / 1e6:.1f} MB"


def _measures(rows: Sequence[tuple[str, str]]) -> None:
    counts = any("by the map's sum" in words for words, _ in rows)
    _part("How well it did on what was kept back", rows, expanded=True, note=_OF_COUNTS if counts else "")


def _part(title: str, rows: Sequence[tuple[str, str]], *, expanded: bool = False, note: str = "") -> None:
    """A part of the card as a table, where it has one."""
    if not rows:
        return
    with st.expander(title, expanded=expanded):
        if note:
            st.caption(note)
        st.table(
            [{"": plain(words), "Value": plain(text)} for words, text in rows], border="horizontal", hide_index=True
        )


def _for_engineers(card: Mapping[str, Any]) -> None:
    """How the model is made again, and all of its card under the names that the code has."""
    with st.expander("For engineers: how to make it again, and all of its card"):
        st.markdown(plain(str(card.get("architecture", "No architecture named."))))
        if card.get("regenerate"):
            st.code(str(card["regenerate"]), language=None, wrap_lines=True)
        rest = {name: part for name, part in model_words.for_engineers(card).items() if name not in _SAID_BEFORE}
        st.json(rest, expanded=1)


def _without_paths(text: str) -> str:
    """Markdown whose links to files of the project are plain words: on the page they would lead nowhere."""
    return re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", text)


def _benchmark(folder: Path) -> None:
    """The table of `benchmarks/accuracy.py`, that of each set's parts, and the figures, where they were made."""
    try:
        text = (folder / "accuracy.md").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        st.info(
            "No benchmark result is here. An engineer makes it in the project's folder: python -m benchmarks.accuracy.",
            icon=":material/info:",
        )
        return
    if ACCURACY_GUIDE.is_file():
        with st.expander("How to read this table", icon=":material/help:"):
            st.markdown(_without_paths(ACCURACY_GUIDE.read_text(encoding="utf-8").partition("\n")[2]))
    st.markdown(_without_paths(text))
    for path in sorted(folder.glob("*/parts.md")):
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
        with st.expander(head.lstrip("# ")):
            st.markdown(_without_paths(body))
    figures = benchmark_figures(folder)
    for start in range(0, len(figures), 2):
        for column, (title, path) in zip(st.columns(2, gap="medium"), figures[start : start + 2], strict=False):
            column.image(path.read_bytes(), caption=title, width=600, alt=title)
