"""The models on the page: what their cards say, whether each file is the one of its card, and the benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.permissions import Action, decide
from her2core.records import User
from her2core.ui import learning
from her2core.ui.services import Services
from her2core.ui.words import counting_words, plain

__all__ = [
    "ACCURACY_GUIDE",
    "RESULTS_DIR",
    "ModelFile",
    "benchmark_figures",
    "draw",
    "entries",
    "model_files",
    "where_it_fails",
]

RESULTS_DIR = Path(__file__).parents[2] / "benchmarks" / "results"
ACCURACY_GUIDE = Path(__file__).parents[2] / "docs" / "accuracy.md"
_CARDS, _BENCHMARK, _LEARNING, _NEXT = "Model cards", "Benchmark", "Learning", "What to annotate next"
_KNOWN = frozenset({"name", "version", "sha256", "architecture", "stage", "fails", "regenerate"})
_METRICS = ("metrics", "validation")
_TITLES = {
    "config": "Settings of the model",
    "recipe": "Training recipe",
    "data": "Training data",
    "metrics": "Validation",
    "validation": "Validation",
}
_WORDS = {
    "her2": "HER2",
    "cep17": "CEP17",
    "mae": "mean absolute error, signals a nucleus",
    "bias": "bias, signals a nucleus",
    "ap50": "average precision at IoU 0.5",
    "ap75": "average precision at IoU 0.75",
    "um": "µm",
    "sha256": "SHA-256",
    "nms": "non-maximum suppression,",
    "iou": "IoU",
}
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


def entries(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A part of a card as rows of name and value; what is nested gets its names joined."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            label = " ".join(_WORDS.get(word, word) for word in str(name).replace("_", " ").split())
            yield from entries(inner, f"{prefix}, {label}" if prefix else label)
    elif isinstance(value, list | tuple) and value and all(isinstance(v, list | tuple) for v in value):
        yield prefix, "; ".join(" × ".join(_written(v) for v in row) for row in value)
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(_written(v) for v in value)
    else:
        yield prefix, _written(value)


def _written(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
    st.caption(f"{counting_words(rooms.settings.counting)}. The setting `counting` says which way is in use.")
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
    st.markdown(plain(str(card.get("architecture", "No architecture named."))))
    st.caption("SHA-256 of the weights")
    st.code(str(card["sha256"]), language=None, wrap_lines=True)
    st.warning(f"**Where it fails**\n\n{where_it_fails(card)}", icon=":material/report:")
    for part in _METRICS:
        if part in card:
            _part(part, card[part], expanded=True)
    for part, value in card.items():
        if part not in _KNOWN and part not in _METRICS:
            _part(part, value, expanded=part == "data")
    if card.get("regenerate"):
        st.caption(f"To make it again: {plain(str(card['regenerate']))}")


def _size(model: ModelFile) -> str:
    return "" if model.size_bytes is None else f", {model.size_bytes / 1e6:.1f} MB"


def _part(part: str, value: Any, *, expanded: bool) -> None:
    rows = list(entries(value))
    with st.expander(f"{_TITLES.get(part, part.replace('_', ' ').capitalize())} ({len(rows)})", expanded=expanded):
        st.table(
            [{"": plain(label or part), "Value": plain(text)} for label, text in rows],
            border="horizontal",
            hide_index=True,
        )


def _without_paths(text: str) -> str:
    """Markdown whose links to files of the project are plain words: on the page they would lead nowhere."""
    return re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", text)


def _benchmark(folder: Path) -> None:
    """The table of `benchmarks/accuracy.py`, that of each set's parts, and the figures, where they were made."""
    try:
        text = (folder / "accuracy.md").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        st.info(
            "No benchmark result is here. It is made with `python -m benchmarks.accuracy` in the project's folder.",
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
