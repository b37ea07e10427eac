"""The tumour-cell populations of a case and their shares, saved as they are set."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from her2core import workflow
from her2core.records import Population, User
from her2core.ui.flagging import next_label, rebalanced
from her2core.ui.services import Services
from her2core.ui.session import saved
from her2core.ui.words import plain
from her2core.workflow import CaseReview

__all__ = ["draw"]


def draw(rooms: Services, user: User, review: CaseReview) -> None:
    """One line a population: its letter, its share, how many regions show it."""
    case = review.case
    st.markdown(
        "One population for a homogeneous tumour. Where a second, distinct population has clearly more HER2 signals, "
        "add it with its share of the tumour cells: each is counted and reported by itself, never averaged, and above "
        "10 % it bears on the result."
    )
    several = len(case.populations) > 1
    for population in case.populations:
        _line(rooms, user, review, population, several)
    label = next_label(case.populations)
    if label is not None:
        st.button(
            f"Add population {label}", icon=":material/add:", key="population_add", disabled=not review.editable,
            on_click=_store, args=(rooms, user, review, [*_open_shares(case.populations), Population(label)]),
        )  # fmt: skip
    shares = [p.share_percent or 0.0 for p in case.populations]
    if several and sum(shares) < 100:
        st.caption(f"{sum(shares):g} % of the tumour cells so far.")


def _line(rooms: Services, user: User, review: CaseReview, population: Population, several: bool) -> None:
    case = review.case
    name, share, regions, remove, _ = st.columns([1, 1.2, 1.4, 1.2, 3], vertical_alignment="bottom")
    name.markdown(f"**Population {plain(population.label)}**")
    key = f"share_{case.id}_{population.label}"
    st.session_state[key] = population.share_percent
    share.number_input(
        "Share of tumour cells (%)", 0.0, 100.0, None, step=1.0, format="%g", key=key, placeholder="estimate",
        disabled=not (review.editable and several), on_change=_set_share,
        args=(rooms, user, review, population.label, key),
        help="Your estimate at low magnification. With two populations the other one gets the rest.",
    )  # fmt: skip
    count = sum(r.suitable and r.population == population.label for r in review.regions)
    regions.caption(f"{count} suitable region{'' if count == 1 else 's'}")
    if several:
        rest = [p for p in case.populations if p.label != population.label]
        rest = [Population(rest[0].label, 100.0)] if len(rest) == 1 else rest
        remove.button(
            "Remove", key=f"population_remove_{population.label}", icon=":material/delete:",
            disabled=not review.editable, on_click=_store, args=(rooms, user, review, rest),
        )  # fmt: skip


def _open_shares(populations: Sequence[Population]) -> list[Population]:
    """The populations before another one joins: one that had all has to be estimated anew."""
    return [Population(p.label, None if len(populations) == 1 else p.share_percent) for p in populations]


def _set_share(rooms: Services, user: User, review: CaseReview, label: str, key: str) -> None:
    _store(rooms, user, review, rebalanced(review.case.populations, label, st.session_state.get(key)))


def _store(rooms: Services, user: User, review: CaseReview, wanted: Sequence[Population]) -> None:
    saved(workflow.set_populations, rooms.log, review.case.id, wanted, review.case.version, user)
