"""The comments that accompany a negative result of Groups 2, 3 and 4, and the footnote on low HER2 expression.

The wording is this project's own; it conveys the meaning collected in domain.md 1.7 and 1.11. A laboratory may edit it
in the report.
"""

from __future__ import annotations

from her2core.errors import ScoringError
from her2core.records import IHC

__all__ = ["comment", "comment_letter", "low_expression_note"]

_LETTERS = {2: "A", 3: "B", 4: "C"}

_COMMENTS = {
    "A": (
        "The HER2/CEP17 ratio is 2.0 or more, but the cells carry fewer than 4.0 HER2 copies on average. Few patients "
        "with this constellation took part in the early adjuvant trastuzumab trials; no gain in disease-free or "
        "overall survival was seen in them, and their number was too small for a firm conclusion. ISH was therefore "
        "read together with immunohistochemistry. As the copy number is low and the protein is not overexpressed, the "
        "tumour is reported as HER2 negative."
    ),
    "B": (
        "The cells carry 6.0 or more HER2 copies on average, but the HER2/CEP17 ratio is below 2.0. Whether "
        "HER2-directed treatment helps in this constellation without protein overexpression is not known well enough, "
        "because such patients could not enter the first trials. As immunohistochemistry shows no overexpression, the "
        "tumour is reported as HER2 negative."
    ),
    "C": (
        "The cells carry between 4.0 and 6.0 HER2 copies on average and the HER2/CEP17 ratio is below 2.0. A benefit "
        "of HER2-directed treatment is uncertain here unless immunohistochemistry is 3+. Where the ratio lies close to "
        "2.0, a repeated count may fall on the other side of the cut-off by chance alone. As immunohistochemistry is "
        "not 3+, the tumour is reported as HER2 negative, and testing the same specimen once more is not advised."
    ),
}

_LOW_EXPRESSION = (
    "HER2 negative with IHC {ihc} is a result that some treatments distinguish: in metastatic disease, trastuzumab "
    "deruxtecan has been effective where staining is 1+, or 2+ without amplification. This is information for the "
    "treating team and not a result category of its own."
)


def comment_letter(group: int) -> str | None:
    """A, B or C for Groups 2, 3 and 4; None for Groups 1 and 5, which need no comment. ScoringError outside 1..5."""
    if group not in range(1, 6):
        raise ScoringError(f"There is no ISH group {group}; the groups are 1 to 5.")
    return _LETTERS.get(group)


def comment(letter: str) -> str:
    """The text of comment A, B or C. Raises ScoringError for another letter."""
    if letter not in _COMMENTS:
        raise ScoringError(f"There is no comment {letter!r}; the comments are A, B and C.")
    return _COMMENTS[letter]


def low_expression_note(ihc: IHC | None) -> str | None:
    """The footnote for a HER2-negative tumour with IHC 1+ or 2+; None for the other scores."""
    return _LOW_EXPRESSION.format(ihc=ihc.value) if ihc in (IHC.ONE_PLUS, IHC.TWO_PLUS) else None
