"""Who has a case open, so that a second person is told."""

from __future__ import annotations

from her2core.workflow.presence import GONE_AFTER_S, Presence


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_second_window_is_told_of_the_first_and_the_other_way_round() -> None:
    presence = Presence(Clock())
    assert presence.here(1, "a", 7) == ()
    (first,) = presence.here(1, "b", 8)
    assert first.user_id == 7
    (second,) = presence.here(1, "a", 7)
    assert second.user_id == 8


def test_since_is_when_the_case_was_opened_not_the_last_sign_of_life() -> None:
    presence = Presence(Clock())
    presence.here(1, "a", 7)
    before = presence.here(1, "b", 8)[0].since
    presence.here(1, "a", 7)
    assert presence.here(1, "b", 8)[0].since == before


def test_whoever_gives_no_sign_of_life_is_gone() -> None:
    clock = Clock()
    presence = Presence(clock)
    presence.here(1, "a", 7)
    clock.now += GONE_AFTER_S - 1
    assert len(presence.here(1, "b", 8)) == 1
    clock.now += 2
    assert presence.here(1, "b", 8) == ()


def test_another_case_is_another_matter_and_turning_to_it_leaves_the_first() -> None:
    presence = Presence(Clock())
    presence.here(1, "a", 7)
    assert presence.here(2, "b", 8) == ()
    presence.here(2, "a", 7)
    assert presence.here(1, "c", 9) == ()


def test_another_user_in_the_same_window_is_another_visit() -> None:
    presence = Presence(Clock())
    presence.here(1, "a", 7)
    presence.here(1, "a", 9)
    (visit,) = presence.here(1, "b", 8)
    assert visit.user_id == 9
