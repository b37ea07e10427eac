"""Model cards as they lie beside the weights: what the models are, how they were trained, how well they do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from her2core.ui.services import Services
from her2core.ui.words import plain

__all__ = ["CardFound", "draw", "read_cards"]


@dataclass(frozen=True, slots=True)
class CardFound:
    """A card, and whether the weights beside it are the ones that it describes (None: there are none)."""

    file: str
    card: dict[str, Any]
    matches: bool | None


def read_cards(weights_dir: Path) -> list[CardFound]:
    """The cards in a folder, by file name; unreadable ones are left out."""
    found = []
    for path in sorted(weights_dir.glob("*.json")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(card, dict) and "sha256" in card:
            found.append(CardFound(path.name, card, _matches(path.with_suffix(".safetensors"), str(card["sha256"]))))
    return found


def draw(rooms: Services) -> None:
    """A card a column."""
    st.header("Models")
    cards = read_cards(rooms.settings.weights_dir)
    if not cards:
        st.error("No model card was found in the folder of the models. Restore the folder 'models' from the release.")
        return
    for column, found in zip(st.columns(len(cards), gap="medium"), cards, strict=True):
        with column, st.container(border=True):
            _card(found)


def _card(found: CardFound) -> None:
    card = found.card
    st.subheader(plain(f"{card.get('name', found.file)} {card.get('version', '')}"), anchor=False)
    st.markdown(plain(str(card.get("architecture", ""))))
    if found.matches is None:
        st.error("The weights that this card describes are missing.", icon=":material/error:")
    elif found.matches:
        st.success("The weights are the ones that this card describes.", icon=":material/verified:")
    else:
        st.error("The weights are not the ones that this card describes. They are not used.", icon=":material/gpp_bad:")
    st.caption(f"SHA-256 {card['sha256']}")
    for key, title in (
        ("metrics", "How well it does"),
        ("validation", "How well it does on validation images"),
        ("data", "What it was trained on"),
        ("config", "Configuration"),
        ("recipe", "Training recipe"),
    ):
        values = card.get(key)
        if isinstance(values, dict) and values:
            with st.expander(title, expanded=key in ("metrics", "validation", "data")):
                rows = [{"": name.replace("_", " "), "Value": _said(value)} for name, value in values.items()]
                st.dataframe(pd.DataFrame(rows), hide_index=True, key=f"{found.file}_{key}")


def _said(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)[:300].strip('"')


@st.cache_data(show_spinner=False, max_entries=20, ttl=60)
def _digest(path: str, modified: float) -> str:
    del modified
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _matches(weights: Path, sha256: str) -> bool | None:
    try:
        return _digest(str(weights), weights.stat().st_mtime) == sha256
    except OSError:
        return None
