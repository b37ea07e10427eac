"""Drive the review in Chromium: over the served application, or the editor alone with this process behind it.

The editor alone needs no server: what it sends is taken here as the page does (`Inbox`, `take_edit`), and what it is
told is what the page tells it (`editor_state`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Locator, Page, expect

from her2core import workflow
from her2core.imaging import PixelsRGB, read_region
from her2core.records import Box, Case, Correction, Nucleus, Region
from her2core.ui.editor import EditorNews, Inbox, editor_state
from her2core.ui.editor.mount import FRONTEND, javascript
from her2core.ui.editor.pictures import encode
from her2core.workflow import CaseWarning
from her2core.workflow.reviewing import Edit, Taken, take_edit
from tests.browser.conftest import PATIENCE_MS, Server
from tests.pages.lab import PASSWORDS, TestLaboratory, count_drawn

__all__ = ["ReviewPage", "acknowledge"]

_HOST = """<!doctype html><style>body {margin: 0; background: #0e1217}</style><div id="host"></div>"""
_MOUNT = """async ([script, style]) => {
    const module = await import(URL.createObjectURL(new Blob([script], {type: "text/javascript"})));
    const root = document.querySelector("#host").attachShadow({mode: "open"});
    root.append(Object.assign(document.createElement("style"), {textContent: style}));
    const carriers = {};
    window.carry = (base64) => module.default({
        name: "her2core_picture", parentElement: (carriers[base64.length] ??= {}),
        data: Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)),
    });
    window.draw = (state) => { window.leave = module.default({
        name: "her2core_editor", data: {state}, parentElement: root,
        setTriggerValue: (name, message) => window.post(message).then((state) => state && window.draw(state)),
    }); };
}"""


def acknowledge(page: Page, warning: CaseWarning) -> None:
    """Acknowledge a warning on the page, with a reason where it asks for one, and wait until it is gone."""
    button = page.locator(f".st-key-warning_{warning.key} button")
    if warning.needs_reason:
        reason = page.locator(f".st-key-reason_text_{warning.key} textarea")
        if not reason.is_visible():  # what asks for it may be open from before: then the button would close it
            page.locator(f".st-key-reason_{warning.key} button").first.click(timeout=PATIENCE_MS)
        reason.fill("The signals elsewhere are strong.")
    button.click(timeout=PATIENCE_MS)
    expect(button).to_have_count(0, timeout=PATIENCE_MS)


class ReviewPage:
    """The review of one case, as somebody sees it."""

    def __init__(self, page: Page, lab: TestLaboratory, case: Case, name: str = "berg") -> None:
        self.page, self.lab, self.case, self.name = page, lab, case, name
        self.inbox = Inbox()
        self.sent: list[Mapping[str, Any]] = []
        self.shown: int | None = None
        self.offline = False

    # --- the editor alone ---------------------------------------------------------------------------------------------

    def alone(self) -> ReviewPage:
        """The editor in an empty page, with this process in the place of the server."""
        self.page.expose_function("post", self._post)
        self.page.set_content(_HOST)
        style = (FRONTEND / "editor.css").read_text(encoding="utf-8")
        self.page.evaluate(_MOUNT, [javascript(), style])
        for region in self.lab.log.regions(self.case.id):
            picture = encode(self._pixels(region), region.image_sha256)
            self.page.evaluate("(base64) => carry(base64)", _base64(picture))
        self.draw()
        return self.ready()

    def draw(self) -> None:
        """Tell the editor how the case stands now."""
        self.page.evaluate("(state) => draw(state)", self._state())

    def leave_and_return(self) -> None:
        """Go to another page and come back, in the same session."""
        self.page.evaluate("() => window.leave()")
        expect(self.page.locator(".editor")).to_have_count(0)
        self.draw()
        self.ready()

    def _post(self, message: Mapping[str, Any]) -> str | None:
        self.sent.append(message)
        if self.offline:
            return None
        if isinstance(message.get("region"), int):
            self.shown = message["region"]
        self.inbox.receive(message, self._take)
        return self._state()

    def _take(self, edit: Edit) -> Taken:
        def count(_: int | None) -> workflow.CountBox:
            return _count

        return take_edit(
            self.lab.log, edit, self.lab.person(self.name), own=self.inbox.own, pixels=self._pixels, count=count
        )

    def _pixels(self, region: Region) -> PixelsRGB:
        return read_region(self.lab.log.image_bytes(region), region.filename).pixels_rgb

    def _state(self) -> str:
        review = workflow.assess(self.lab.log, self.case.id)
        region = next((r for r in review.regions if r.region.id == self.shown), review.regions[0])
        names = {person.id: person.full_name for person in self.lab.log.users()}
        return json.dumps(editor_state(review, region, EditorNews(names, self.inbox)))

    # --- the served application ---------------------------------------------------------------------------------------

    def open(self, server: Server) -> ReviewPage:
        """Sign in and go to the case from the worklist."""
        self.page.goto(server.url)
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password", exact=True).fill(PASSWORDS[self.name])
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        return self.from_worklist()

    def from_worklist(self) -> ReviewPage:
        """Go to the case from the worklist and wait for the image."""
        self.page.locator(f".st-key-open_{self.case.id} button").click(timeout=PATIENCE_MS)
        return self.ready()

    def ready(self) -> ReviewPage:
        """Wait until nuclei and image are there."""
        expect(self.page.locator(".editor .tile").first).to_be_visible(timeout=PATIENCE_MS)
        expect(self.part("loading")).to_be_hidden(timeout=PATIENCE_MS)
        return self

    # --- what is seen and done ----------------------------------------------------------------------------------------

    def part(self, name: str) -> Locator:
        """A part of the editor by its name."""
        return self.page.locator(f'.editor [data-part="{name}"]')

    def tally(self) -> tuple[int, int, int]:
        """Nuclei, HER2 and CEP17 as the result card shows them now."""
        n, her2, cep17 = (int(p) for p in self.page.locator(".h2c-res td.now").last.inner_text().split("·"))
        return n, her2, cep17

    def expect_tally(self, n: int, her2: int, cep17: int) -> None:
        """Wait for these numbers, and for everything to be saved."""
        expect(self.page.locator(".h2c-res td.now").last).to_have_text(f"{n} · {her2} · {cep17}", timeout=PATIENCE_MS)
        self.expect_saved()

    def expect_saved(self) -> None:
        """Wait until every edit is acknowledged."""
        expect(self.part("status")).to_have_text("All changes saved", timeout=PATIENCE_MS)

    def expect_nucleus(self, number: int) -> None:
        """Wait until this nucleus is the chosen one."""
        expect(self.part("title")).to_have_text(f"Nr {number}", timeout=PATIENCE_MS)

    def choose(self, number: int) -> None:
        """Choose a nucleus in the gallery."""
        self.page.locator(f'.editor .tile[data-nucleus="{number}"]').click()
        self.expect_nucleus(number)

    def press(self, key: str) -> None:
        """Press a key somewhere on the page."""
        self.page.keyboard.press(key)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where on the screen a point of the image lies in the field. The whole region must be shown."""
        frame = self.part("field").bounding_box()
        assert frame is not None
        region = self.lab.log.regions(self.case.id)[0]
        scale = min(frame["width"] / region.width_px, frame["height"] / region.height_px)
        left = frame["x"] + (frame["width"] - region.width_px * scale) / 2
        top = frame["y"] + (frame["height"] - region.height_px * scale) / 2
        return left + x * scale, top + y * scale

    def click_field(self, x: float, y: float) -> None:
        """Click at a point of the image."""
        self.page.mouse.click(*self.at(x, y))

    def drag_field(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one point of the image to another."""
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        self.page.mouse.move(*self.at(*end))
        self.page.mouse.up()

    def click_large(self, box: tuple[float, float, float, float], x: float, y: float) -> None:
        """Click in the large picture of the chosen nucleus, at a point of the image."""
        frame = self.part("large").bounding_box()
        assert frame is not None
        side = max(box[2] - box[0], box[3] - box[1]) * 1.44
        left, top = (box[0] + box[2]) / 2 - side / 2, (box[1] + box[3]) / 2 - side / 2
        per = frame["width"] / side
        self.page.mouse.click(frame["x"] + (x - left) * per, frame["y"] + (y - top) * per)

    def set_counts(self, her2: int, cep17: int) -> None:
        """Type both counts of the chosen nucleus."""
        self.part("count-her2").fill(str(her2))
        self.part("count-cep17").fill(str(cep17))
        self.part("count-cep17").press("Enter")

    def gallery(self) -> list[int]:
        """The nuclei in the order in which the gallery shows them."""
        tiles = self.page.locator(".editor .tile")
        shown: list[int] = tiles.evaluate_all("(tiles) => tiles.map((tile) => Number(tile.dataset.nucleus))")
        return shown

    def box(self, number: int) -> Box:
        """The box of a nucleus of the first region as it is now."""
        nuclei = workflow.assess(self.lab.log, self.case.id).regions[0].nuclei
        return next(r.nucleus.box for r in nuclei if r.nucleus.id == number)

    def corrections(self) -> list[Correction]:
        """What is stored of the first region."""
        return self.lab.log.corrections(self.lab.log.regions(self.case.id)[0].id)

    def pixel(self, part: str, across: float = 0.5, down: float = 0.5) -> list[int]:
        """The colour (R, G, B) of a canvas at a fraction of its width and height."""
        script = """(canvas, [across, down]) => [...canvas.getContext("2d").getImageData(
            Math.floor(across * canvas.width), Math.floor(down * canvas.height), 1, 1).data].slice(0, 3)"""
        found: Any = self.part(part).evaluate(script, [across, down])
        return [int(value) for value in found]

    def said(self, text: str | re.Pattern[str]) -> None:
        """Wait until the page says this."""
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def _count(pixels_rgb: PixelsRGB, box: Box, nucleus_id: int) -> Nucleus:
    return count_drawn(pixels_rgb, box, nucleus_id)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
