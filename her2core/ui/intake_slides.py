"""Fields of a whole slide at intake: choose a slide, look through its best fields, and take them as regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from her2core.errors import Her2CoreError
from her2core.imaging import PixelsRGB, quality
from her2core.imaging.fields import Field, Findings
from her2core.records import Role, User
from her2core.ui.imagery import png
from her2core.ui.services import Services, image_limits
from her2core.ui.session import flash, guarded
from her2core.ui.words import plain
from her2core.workflow import CaseReview
from her2core.workflow.slides import SlideFile, SlideSearches, slide_files, take_fields

__all__ = ["draw", "field_words", "marked_overview"]

_ABREAST = 3
_CHOSEN, _TAKEN = (240, 228, 66), (120, 130, 140)
_PLAIN = (230, 235, 240)
_GB = 1e9
_NAMED = 2  # of what speaks against a field
_OVERVIEW_PX = 900
_FONT_PX = 32


def draw(rooms: Services, user: User, review: CaseReview) -> None:
    """Nothing where the laboratory keeps no slides in its data folder."""
    slides = slide_files(rooms.log.data_dir)
    if not slides:
        return
    with st.expander("Fields of a whole slide", icon=":material/grid_view:", key="intake_slides"):
        names = [slide.name for slide in slides]
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        number = left.selectbox(
            "Slide", range(len(slides)), index=None, key=f"slide_{review.case.id}", placeholder="Choose a slide",
            format_func=lambda n: f"{names[n]} · {_size(slides[n])}", disabled=not review.editable,
        )  # fmt: skip
        if number is None or not review.editable:
            return
        slide, searches = slides[number], _searches(str(rooms.log.data_dir.absolute()))
        status = searches.status(slide)
        right.button(
            "Find fields", type="primary" if status is None else "secondary", key="slide_find", width="stretch",
            disabled=status is not None and status.problem is None, on_click=_start, args=(searches, slide, user),
        )  # fmt: skip
        if status is None:
            st.caption(
                "Finds where many large nuclei lie apart and signals are good. You choose which fields become regions."
            )
        elif status.active:
            _progress(str(rooms.log.data_dir.absolute()), slide)
        elif status.findings is None:
            st.error(plain(status.problem or ""), icon=":material/error:")
        else:
            _picker(rooms, user, review, slide, status.findings)


@st.cache_resource(show_spinner=False, max_entries=4, on_release=SlideSearches.close)
def _searches(data_dir: str) -> SlideSearches:
    return SlideSearches(Path(data_dir))


def _start(searches: SlideSearches, slide: SlideFile, user: User) -> None:
    try:
        searches.start(slide, user)
    except Her2CoreError as error:
        flash("error", str(error))


@st.fragment(run_every=1.0)
def _progress(data_dir: str, slide: SlideFile) -> None:
    guarded(Role.PATHOLOGIST, by_timer=True)
    searches = _searches(data_dir)
    status = searches.status(slide)
    if status is None or not status.active:
        st.rerun(scope="app")
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    left.progress(min(status.fraction, 1.0), text=f"{status.stage} · {status.fraction:.0%}")
    right.button("Stop", key="slide_stop", width="stretch", on_click=searches.stop, args=(slide,))


def _picker(rooms: Services, user: User, review: CaseReview, slide: SlideFile, found: Findings) -> None:
    """The slide with its fields numbered, and each field to be ticked."""
    if not found.fields:
        st.info(
            f"None of {found.searched} fields shows five or more large nuclei that lie apart. Check that DAPI is the "
            "blue channel of the slide, or choose another one.",
            icon=":material/info:",
        )
        return
    taken = {region.region.filename for region in review.regions}
    names = [f"{Path(slide.name).stem}_x{field.left}_y{field.top}.tif" for field in found.fields]
    keys = [f"slide_field_{review.case.id}_{name}" for name in names]
    chosen = [n for n, key in enumerate(keys) if st.session_state.get(key) and names[n] not in taken]
    left, right = st.columns([3, 2])
    left.image(marked_overview(found, chosen, [n for n, name in enumerate(names) if name in taken]), width="stretch")
    right.caption(
        f"The best of {found.searched} fields, ranked by countable nuclei (large, roundish, apart, whole) and by how "
        "far signals keep the limits of the suitability advice. Whether they are tumour is yours to judge."
    )
    for start in range(0, len(names), _ABREAST):
        for column, n in zip(st.columns(_ABREAST), range(start, min(start + _ABREAST, len(names))), strict=False):
            with column, st.container(border=True, gap="xsmall"):
                st.checkbox(
                    f"Field {n + 1}" + (" (in the case)" if names[n] in taken else ""), key=keys[n],
                    disabled=names[n] in taken,
                )  # fmt: skip
                st.image(png(found.thumbnails_rgb[n]), width="stretch")
                st.caption(field_words(found.fields[n]))
    count = len(chosen)
    st.button(
        f"Add {_fields(count)} as region{'' if count == 1 else 's'}" if count else "Tick fields to add them as regions",
        type="primary", key="slide_take", disabled=not count, on_click=_take,
        args=(rooms, user, review.case.id, slide, [found.fields[n] for n in chosen]),
    )  # fmt: skip


def field_words(field: Field) -> str:
    """Countable nuclei, and what speaks against the field; its place in the slide for whoever looks for it there."""
    against = [limit.label for limit in quality.broken(field.measures) if limit.measure != "estimated_nuclei"]
    more = f" and {len(against) - _NAMED} more" if len(against) > _NAMED else ""
    said = f"Outside its limit: {'; '.join(against[:_NAMED])}{more}" if against else "Signals within all limits"
    return f"{field.countable} countable nuclei · {said} · at {field.left}, {field.top}"


def marked_overview(found: Findings, chosen: Sequence[int], taken: Sequence[int]) -> PixelsRGB:
    """The whole slide with the fields framed and numbered: chosen ones yellow, those in the case grey."""
    image = Image.fromarray(found.overview_rgb)
    scale = min(1.0, _OVERVIEW_PX / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=_FONT_PX)
    for number, field in enumerate(found.fields):
        colour = _CHOSEN if number in chosen else _TAKEN if number in taken else _PLAIN
        corners = (field.left, field.top, field.left + field.width, field.top + field.height)
        x0, y0, x1, y1 = (corner / found.overview_factor * scale for corner in corners)
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=5 if number in chosen else 2)
        draw.text((x0 + 6, y0), str(number + 1), fill=colour, font=font, stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def _take(rooms: Services, user: User, case_id: int, slide: SlideFile, fields: Sequence[Field]) -> None:
    try:
        regions = take_fields(rooms.log, case_id, slide, fields, user, image_limits(rooms.settings))
    except Her2CoreError as error:
        flash("error", str(error))
        return
    next_step = "flag it next" if len(regions) == 1 else "flag them next"
    flash("success", f"{_fields(len(regions))} added to the case: {next_step}.")


def _fields(number: int) -> str:
    return "1 field" if number == 1 else f"{number} fields"


def _size(slide: SlideFile) -> str:
    return f"{slide.size / _GB:.1f} GB" if slide.size >= _GB else f"{slide.size / 1e6:.0f} MB"
