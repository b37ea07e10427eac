"""The public face of the package."""

from __future__ import annotations

import her2core.scoring as scoring


def test_everything_in_all_is_there_once_and_sorted_for_reading() -> None:
    assert len(scoring.__all__) == len(set(scoring.__all__))
    missing = [name for name in scoring.__all__ if not hasattr(scoring, name)]
    assert missing == []


def test_every_public_name_is_documented() -> None:
    undocumented = [
        name for name in scoring.__all__ if not name.isupper() and not (getattr(scoring, name).__doc__ or "").strip()
    ]
    assert undocumented == []


def test_names_with_a_module_of_the_same_name_are_the_functions() -> None:
    assert callable(scoring.tally)
    assert callable(scoring.group)
