"""What warnings ask of the pathologist, and what a signed report says of it: that it was asked, and what came of it.

A warning that stands in a signed report was read and acknowledged; what it asked for either was not done or changed
nothing of what it is about. A report that told the next reader to do it would send that reader to work that is no
longer theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "AMPLIFIED_OR_TOO_LOW",
    "ANOTHER_AREA",
    "CLUSTERS",
    "COUNT_APART",
    "EXPIRED",
    "FIXATION",
    "LEFT_OPEN",
    "LEFT_OUT",
    "LOOK_APART",
    "MISSED_SIGNALS",
    "READ_AGAIN",
    "SAME_BIRTH",
    "SAME_CELLS",
    "SAME_PATIENT",
    "SAME_TUMOUR",
    "SHOW_BOTH",
    "UNREAD",
    "Asked",
    "as_told",
    "nuclei_asked_for",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """The same point twice: `prompt` to who is to do it, `told` to who reads the signed report."""

    prompt: str
    told: str


SAME_TUMOUR = Asked(
    "Check that both tests show the same tumour and that controls, areas and sample are right before signing.",
    "The pathologist was asked to check before signing that both tests show the same tumour and that controls, areas "
    "and sample are right; the result stands.",
)
AMPLIFIED_OR_TOO_LOW = Asked(
    "Check that both tests show the same tumour, and look for an amplified population or under-counted clusters before "
    "signing.",
    "The pathologist was asked to check before signing that both tests show the same tumour, and to look for an "
    "amplified population or under-counted clusters; the result stands.",
)
CLUSTERS = Asked(
    "Confirm them, since counting a cluster too low can hide an amplification.",
    "The pathologist was asked to confirm them, since counting a cluster too low can hide an amplification.",
)
ANOTHER_AREA = Asked(
    "At least two areas of invasive tumour are to be counted: add a region from another area, unless this one shows "
    "two.",
    "At least two areas of invasive tumour are to be counted. A region from another area was asked for, unless this "
    "one shows two; none was added.",
)
COUNT_APART = Asked(
    "If they lie apart in the tissue, define two populations and count at least 20 nuclei in each.",
    "The pathologist was asked whether they lie apart in the tissue, to be counted as two populations; they were "
    "counted together.",
)
LOOK_APART = Asked(
    "Look whether they form a population of their own. If so, define it under Populations and count at least 20 nuclei "
    "in each.",
    "The pathologist was asked whether they form a population of their own, to be counted by itself; they were counted "
    "together with the others.",
)
SHOW_BOTH = Asked(
    "Check that the regions show both kinds of cells, and whether the tumour needs a second population; otherwise take "
    "the flag back.",
    "The pathologist was asked whether the regions show both kinds of cells and the tumour needs a second population; "
    "the flag was kept.",
)
LEFT_OUT = Asked(
    "Look at the nuclei that were left out, and at clusters, before the counts are accepted.",
    "The pathologist was asked to look at the nuclei that were left out, and at clusters, before the counts were "
    "accepted; the difference remained.",
)
MISSED_SIGNALS = Asked("Look for missed signals first.", "The pathologist was asked to look for missed signals first.")
READ_AGAIN = Asked(
    "Check what was changed in the first count since, and read both again before signing.",
    "The pathologist was asked to check what was changed in the first count since, and to read both again; they still "
    "differ.",
)
SAME_CELLS = Asked(
    "Reject one of the two, or leave these nuclei out of one of them.",
    "The pathologist was asked to reject one of the two, or to leave these nuclei out of one of them; they were "
    "counted in both.",
)
LEFT_OPEN = Asked("whatever it shows; the report will say that it is open.", "whatever it shows.")
UNREAD = Asked(
    "Look at them in Review, where the doubtful ones come first.",
    "Their counts were confirmed together with all others.",
)

SAME_PATIENT = Asked(
    "Compare ID and name with the request form: one of them may belong to another patient.",
    "The pathologist was asked to compare ID and name with the request form; they stand.",
)
SAME_BIRTH = Asked(
    "Compare both with the request form.",
    "The pathologist was asked to compare both with the request form; they stand.",
)
EXPIRED = Asked(
    "Check the date, and whether the slide was hybridised before that day.",
    "The pathologist was asked to check the date, and whether the slide was hybridised before that day.",
)
FIXATION = Asked(
    "Signals may be weak or missing: judge the controls and the nuclei with that in mind.",
    "Signals may be weak or missing; the pathologist was told before signing.",
)

_FIXED = (
    SAME_TUMOUR, AMPLIFIED_OR_TOO_LOW, CLUSTERS, ANOTHER_AREA, COUNT_APART, LOOK_APART, SHOW_BOTH, LEFT_OUT,
    MISSED_SIGNALS, READ_AGAIN, SAME_CELLS, LEFT_OPEN, UNREAD, SAME_PATIENT,
    SAME_BIRTH, EXPIRED, FIXATION,
)  # fmt: skip


def nuclei_asked_for(more: int, at_least: int) -> str:
    """The prompt for more nuclei near the cut-off; follows "… to the cut-off of 2.0"."""
    return f": score {more} more nuclei, so that at least {at_least} are counted, and read the result from all of them."


_MORE_NUCLEI = re.compile(re.escape(nuclei_asked_for(0, 0)).replace("0", r"(\d+)"))


def as_told(warning: str) -> str:
    """A warning as the signed report tells it: no prompt of this module is left in it."""
    for asked in _FIXED:
        warning = warning.replace(asked.prompt, asked.told)
    return _MORE_NUCLEI.sub(_nuclei_counted, warning)


def _nuclei_counted(found: re.Match[str]) -> str:
    more, at_least = int(found[1]), int(found[2])
    return f". At least {at_least} nuclei were asked for, {at_least - more} were counted: read the result with caution."
