"""The second read by keyboard alone, over the served application."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from her2core import workflow
from her2core.records import Case
from her2core.workflow import Counts
from tests.browser.conftest import PATIENCE_MS, Server
from tests.pages.lab import GROUP_3, IHC_SAME, PASSWORDS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]


def field(page: Page, region: int, nucleus: int, name: str) -> Locator:
    return page.locator(f'[class*="st-key-recount_{region}_{nucleus}_"][class*="_{name}"] input')


def so_far(server: Server, case: Case) -> Counts:
    return workflow.blinded_recount(server.lab.log, case.id, server.lab.person("okafor"))[1]


def begin(server: Server, page: Page) -> tuple[Case, int]:
    """A recount that is due, opened; the case and its region."""
    case = server.lab.reviewed(GROUP_3, **IHC_SAME)
    page.goto(server.url)
    page.get_by_label("User name").fill("okafor")
    page.get_by_label("Password", exact=True).fill(PASSWORDS["okafor"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Second read").click(timeout=PATIENCE_MS)
    page.locator(f".st-key-recount_{case.id} button").click(timeout=PATIENCE_MS)
    return case, server.lab.log.regions(case.id)[0].id


# Keys that are pressed in the very moment: what was made of each, that is, whether it was kept from the page.
STRIKE = """
window.strike = (name, at) => {
  const key = new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, composed: true });
  (at ?? document.activeElement).dispatchEvent(key);
  return key.defaultPrevented;
};
window.keysOnArrival = (names) => {
  window.struck = [];
  const listen = (event) => {
    document.removeEventListener("focusin", listen);
    window.struck = names.map((name) => window.strike(name, event.target));
  };
  document.addEventListener("focusin", listen);
};
"""


def test_a_number_typed_before_the_next_nucleus_is_there_is_not_cut_in_half(server: Server, page: Page) -> None:
    case, region = begin(server, page)
    keys = page.keyboard
    first, second = field(page, region, 1, "her2"), field(page, region, 2, "her2")
    expect(first).to_be_visible(timeout=60_000)
    page.locator('[data-testid="stBidiComponentIsolated"]').wait_for(state="attached")
    page.wait_for_timeout(1000)  # nothing is seen of the keys
    page.evaluate(STRIKE)
    first.click()
    keys.type("6")
    keys.press("Tab")
    keys.type("4")
    page.evaluate("() => keysOnArrival(['2', 'Enter', 'Tab'])")
    keys.press("Enter")
    assert page.evaluate("() => ['1', 'n', 'Tab', 'F5', 'PageDown'].map((name) => strike(name))") == [
        True, True, False, False, False,
    ]  # fmt: skip
    expect(second).to_be_focused(timeout=60_000)
    assert page.evaluate("() => struck") == [True, True, False]  # the rest of 12 is no count of its own
    expect(second).to_have_value("")
    page.wait_for_timeout(400)
    keys.type("12")
    expect(second).to_have_value("12")
    keys.press("Tab")
    keys.type("4")
    page.evaluate("() => keysOnArrival(['5'])")
    keys.press("Enter")
    expect(field(page, region, 3, "her2")).to_be_focused(timeout=60_000)
    assert page.evaluate("() => struck") == [False]  # whoever waits for the nucleus types at once
    assert so_far(server, case) == {(region, 1): (6, 4), (region, 2): (12, 4)}


def test_all_nuclei_are_gone_through_by_keyboard_alone(server: Server, page: Page) -> None:
    case, region = begin(server, page)
    keys = page.keyboard

    def expect_at(nucleus: int, name: str = "her2") -> None:
        # A field that is replaced once its count is saved is there for a moment beside the new one.
        here = field(page, region, nucleus, name).and_(page.locator(":focus"))
        expect(here).to_have_count(1, timeout=60_000)

    def expect_shown(nucleus: int) -> None:
        expect(page.get_by_text(f"Nr {nucleus}", exact=True)).to_be_visible(timeout=60_000)

    # Without the mouse: a digit begins, Tab leads on, Enter counts; the keyboard is at the next nucleus.
    expect_shown(1)
    page.locator('[data-testid="stBidiComponentIsolated"]').wait_for(state="attached")
    page.wait_for_timeout(1000)  # nothing is seen of the keys
    page.evaluate("() => document.activeElement.blur()")
    keys.press("6")
    expect_at(1)
    keys.press("Tab")
    expect_at(1, "cep17")
    keys.press("4")
    keys.press("Enter")
    expect_at(2)
    for nucleus in range(2, 5):
        keys.type("6")
        keys.press("Tab")
        keys.type("4")
        keys.press("Enter")
        expect_at(nucleus + 1)
    assert so_far(server, case) == {(region, nucleus): (6, 4) for nucleus in range(1, 5)}

    # On and back; what was counted is there, and typing replaces it.
    keys.press("n")
    expect_at(6)
    keys.press("p")
    expect_at(5)
    keys.press("p")
    expect_at(4)
    expect(field(page, region, 4, "her2")).to_have_value("6")
    keys.type("7")
    keys.press("p")  # not before it is saved
    expect_at(4)
    keys.press("n")  # saves it, as Enter does
    expect_at(5)
    assert so_far(server, case)[(region, 4)] == (7, 4)

    # Left out; half a count leads to the other half.
    keys.press("x")
    expect_at(6)
    keys.type("12")
    keys.press("Enter")
    expect_at(6, "cep17")
    keys.type("3")
    keys.press("Enter")
    expect_at(7)
    assert so_far(server, case)[(region, 6)] == (12, 3)
    assert (region, 5) not in so_far(server, case)

    # Another reader's habit: the buttons, and the arrows outside of the fields.
    for _ in range(3):
        keys.press("Tab")
    expect(page.get_by_role("button", name="Leave out")).to_be_focused()
    keys.press("Enter")
    expect_at(8)
    for _ in range(2):
        keys.press("Shift+Tab")
    keys.press("ArrowLeft")
    expect_shown(7)
    keys.press("ArrowRight")
    expect_shown(8)

    # Where the table is, the keys are the table's.
    page.get_by_role("tab", name="Your counts in").click()
    page.evaluate("() => document.activeElement.blur()")
    keys.press("n")
    page.wait_for_timeout(300)
    page.get_by_role("tab", name="Nucleus").click()
    expect_shown(8)


def test_what_is_no_count_is_said_beside_its_field_and_the_keyboard_stays(server: Server, page: Page) -> None:
    case, region = begin(server, page)
    keys = page.keyboard
    her2, cep17 = field(page, region, 1, "her2"), field(page, region, 1, "cep17")
    wrong = page.get_by_text("Not a whole number from 0 to 200.")
    expect(her2).to_be_visible(timeout=60_000)
    page.locator('[data-testid="stBidiComponentIsolated"]').wait_for(state="attached")
    page.wait_for_timeout(1000)  # nothing is seen of the keys
    cep17.click()
    keys.type("4")
    her2.click()
    for typed in ("2.5", "-5", "201", "2,5"):
        keys.type(typed)
        for key in ("Enter", "n"):
            keys.press(key)
            expect(wrong).to_be_visible()
            read = wrong.bounding_box()
            assert read is not None
            assert min(read["width"], read["height"]) > 10  # not for screen readers alone
            expect(her2).to_be_focused()
            expect(her2).to_have_value(typed)
    page.get_by_role("button", name="Count, next").click()
    expect(wrong).to_be_visible()
    assert so_far(server, case) == {}
    her2.click()
    keys.press("Control+A")
    keys.press("Enter")  # as before: not on to the next nucleus
    keys.type("12")  # in its place
    expect(wrong).to_have_count(0)
    keys.press("Enter")
    expect(field(page, region, 2, "her2")).to_be_focused(timeout=60_000)
    assert so_far(server, case) == {(region, 1): (12, 4)}

    # In the table it is said above, and the count that was there stays.
    page.get_by_role("tab", name="Your counts in").click()
    table = page.locator('[data-testid="stDataFrame"]')
    for typed in ("2.5", "-5", "999"):
        expect(table).to_be_visible()
        frame = table.bounding_box()
        assert frame is not None
        page.mouse.click(frame["x"] + 0.45 * frame["width"], frame["y"] + 52)
        page.wait_for_timeout(300)
        keys.type(typed, delay=150)  # until its editor is open, the table keeps only the last character
        keys.press("Enter")
        said = page.get_by_text(f"HER2 of nucleus 1 stays as it was: “{typed}” is not a whole number from 0 to 200.")
        expect(said).to_be_visible(timeout=60_000)
        assert so_far(server, case)[(region, 1)] == (12, 4)
