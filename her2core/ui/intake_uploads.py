"""Region images come in: several at once, each kept or refused by itself, its channels by name or by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from her2core import workflow
from her2core.errors import Her2CoreError
from her2core.imaging import (
    ChannelMap,
    ChannelPreview,
    channel_names,
    channel_previews,
    exchanged_channels,
    names_tell,
)
from her2core.records import User
from her2core.ui.imagery import png
from her2core.ui.services import Services, image_limits
from her2core.ui.session import flash
from her2core.ui.words import plain
from her2core.workflow import CaseReview

__all__ = ["draw"]

_TRAY = "intake_tray"
_TYPES = ["jpg", "jpeg", "png", "tif", "tiff"]
_RED, _GREEN = "HER2 red, CEP17 green", "HER2 green, CEP17 red"
_PROBES = ("HER2", "CEP17", "DAPI")
_MOST_WAITING = 12
_PREVIEW_PX = 320


@dataclass
class _Waiting:
    """A file whose channels nobody has named yet; it is not in the case."""

    name: str
    data: bytes
    channels: tuple[str, ...]
    pictures: Sequence[ChannelPreview] = ()  # once they were made: the file may be large, and the page runs often


@dataclass
class _Tray:
    """What is left of the last files that were dropped on a case."""

    case_id: int
    round: int = 0
    problems: list[str] = field(default_factory=list)
    waiting: list[_Waiting] = field(default_factory=list)


def draw(rooms: Services, user: User, review: CaseReview) -> None:
    """The field to drop files in, what became of the last ones, and the channels that somebody has to name."""
    tray = _tray(review.case.id)
    green = f"intake_kit_{review.case.id}"
    key = f"intake_upload_{review.case.id}_{tray.round}"
    st.file_uploader(
        "Drop region images here: JPEG, PNG, TIFF or OME-TIFF, several at once",
        type=_TYPES,
        accept_multiple_files=True,
        key=key,
        max_upload_size=rooms.settings.max_upload_mb,
        disabled=not review.editable,
        on_change=_take_in,
        args=(rooms, user, review.case.id, key, green),
        help="Metadata that identifies a patient is stripped. An image that is in the case already is not taken again.",
    )
    st.segmented_control(
        "Colours of the probe kit",
        [_RED, _GREEN],
        default=_RED,
        required=True,
        key=green,
        disabled=not review.editable,
        persist_state="session",
        help="For files that do not name their channels by probe. With HER2 in green the two are exchanged as the file "
        "comes in: everywhere in her2core HER2 is red and CEP17 green.",
    )
    if tray.problems:
        _problems(tray)
    if tray.waiting and review.editable:
        _by_hand(rooms, user, review.case.id, tray)


def _tray(case_id: int) -> _Tray:
    tray = st.session_state.get(_TRAY)
    if not isinstance(tray, _Tray) or tray.case_id != case_id:
        tray = _Tray(case_id)
        st.session_state[_TRAY] = tray
    return tray


def _take_in(rooms: Services, user: User, case_id: int, key: str, kit: str) -> None:
    """Verify and keep each file that was dropped; what cannot be used is said for each."""
    tray = _tray(case_id)
    tray.problems.clear()
    tray.round += 1  # an empty field for the next ones
    limits, stored = image_limits(rooms.settings), 0
    for upload in st.session_state.get(key) or []:
        name, data = upload.name, upload.getvalue()
        try:
            names = channel_names(data, limits)
            if len(names) >= len(_PROBES) and not names_tell(names):
                _lay_aside(tray, _Waiting(name, data, names))
                continue
            channels = exchanged_channels(data, limits) if st.session_state.get(kit) == _GREEN else None
            workflow.add_region(rooms.log, case_id, data, name, user, limits, channels)
            stored += 1
        except Her2CoreError as error:
            tray.problems.append(f"**{plain(name)}**: {plain(str(error))}")
    if stored:
        flash("success", f"{stored} region image{'s' if stored > 1 else ''} added.")


def _lay_aside(tray: _Tray, file: _Waiting) -> None:
    if len(tray.waiting) >= _MOST_WAITING:
        tray.problems.append(f"**{plain(file.name)}**: name the channels of the files below first, then drop it again.")
    elif all(other.data != file.data for other in tray.waiting):
        tray.waiting.append(file)


def _problems(tray: _Tray) -> None:
    count = len(tray.problems)
    head = "1 file was not added:" if count == 1 else f"{count} files were not added:"
    text, button = st.columns([6, 1], vertical_alignment="center")
    text.error("\n".join([head, "", *(f"- {line}" for line in tray.problems)]), icon=":material/error:")
    button.button("Dismiss", key="intake_dismiss", on_click=tray.problems.clear, width="stretch")


# --- channels by hand -------------------------------------------------------------------------------------------------


def _by_hand(rooms: Services, user: User, case_id: int, tray: _Tray) -> None:
    """One file after the other: its channels as pictures, and which of them shows which probe."""
    file = tray.waiting[0]
    alike = [other for other in tray.waiting if other.channels == file.channels]
    with st.container(border=True, key="intake_channels"):
        st.markdown(f"**{plain(file.name)}** does not say which channel shows which probe. Which is which?")
        try:
            previews = _pictures(rooms, file)
        except Her2CoreError as error:
            _give_up(tray, file, str(error))
            st.rerun()
        for column, shown in zip(st.columns(max(4, len(previews) + 1)), previews, strict=False):
            column.image(shown.pixels, caption=shown.name, width="stretch")
        chosen = _choices(tray, previews)
        channels = _map_of(chosen)
        if len(alike) > 1:
            others = ", ".join(f"**{plain(other.name)}**" for other in alike if other is not file)
            st.caption(f"The channels of {others} are arranged alike: the same choice can hold for them.")
        if channels is not None:
            _as_they_will_be(rooms, alike, channels)
        buttons = st.container(horizontal=True)
        if buttons.button(
            "Add region" if len(alike) == 1 else f"Add these {len(alike)} regions", type="primary",
            key="intake_channels_add", disabled=channels is None,
        ) and channels is not None:  # fmt: skip
            _add(rooms, user, case_id, tray, alike, channels)
            st.rerun()
        if len(alike) > 1 and buttons.button(
            "Add only this one", key="intake_channels_add_one", disabled=channels is None
        ) and channels is not None:  # fmt: skip
            _add(rooms, user, case_id, tray, [file], channels)
            st.rerun()
        if buttons.button("Leave this file out", key="intake_channels_leave"):
            tray.waiting.remove(file)
            st.rerun()
        if channels is None and None not in chosen:
            st.caption("Each probe needs a channel of its own.")


def _pictures(rooms: Services, file: _Waiting) -> Sequence[ChannelPreview]:
    """The channels of a file in small, made once. Raises Her2CoreError where it cannot be read."""
    if not file.pictures:
        file.pictures = channel_previews(file.data, image_limits(rooms.settings), side_px=_PREVIEW_PX)
    return file.pictures


def _as_they_will_be(rooms: Services, files: Sequence[_Waiting], channels: ChannelMap) -> None:
    """The files as regions, side by side: a wrong choice shows before anything is stored."""
    for column, file in zip(itertools.cycle(st.columns(4)), files, strict=False):
        try:
            previews = _pictures(rooms, file)
        except Her2CoreError as error:
            column.warning(f"{plain(file.name)}: {plain(str(error))}")
            continue
        column.image(png(_composite(previews, channels)), caption=f"{plain(file.name)}, as it will be")


def _choices(tray: _Tray, previews: Sequence[ChannelPreview]) -> list[int | None]:
    """The channel of each of HER2, CEP17 and DAPI; None where nothing is chosen yet."""
    names = [p.name for p in previews]
    columns = st.columns(len(_PROBES))
    return [
        column.selectbox(
            f"{probe} is in", range(len(names)), index=names.index(probe) if probe in names else None,
            format_func=names.__getitem__, key=f"intake_channel_{probe}_{tray.round}_{len(tray.waiting)}",
            placeholder="Choose a channel",
        )
        for column, probe in zip(columns, _PROBES, strict=True)
    ]  # fmt: skip


def _map_of(chosen: Sequence[int | None]) -> ChannelMap | None:
    """The map, once three different channels are chosen."""
    known = [channel for channel in chosen if channel is not None]
    return ChannelMap(*known) if len(set(known)) == len(_PROBES) else None


def _composite(previews: Sequence[ChannelPreview], channels: ChannelMap) -> np.ndarray:
    return np.stack([previews[channel].pixels for channel in channels.rgb], axis=2)


def _add(
    rooms: Services, user: User, case_id: int, tray: _Tray, files: Sequence[_Waiting], channels: ChannelMap
) -> None:
    limits = image_limits(rooms.settings)
    tray.problems.clear()
    for file in files:
        try:
            workflow.add_region(rooms.log, case_id, file.data, file.name, user, limits, channels)
        except Her2CoreError as error:
            tray.problems.append(f"**{plain(file.name)}**: {plain(str(error))}")
        tray.waiting.remove(file)


def _give_up(tray: _Tray, file: _Waiting, why: str) -> None:
    tray.waiting.remove(file)
    tray.problems.append(f"**{plain(file.name)}**: {plain(why)}")
