"""What Xue et al. 2023 printed (domain.md 7.2), worked out by the same functions as our own figures."""

from __future__ import annotations

from her2core.training.measures import GROUPS, GroupAgreement, group_agreement

__all__ = ["PAPER_AP", "PAPER_MATRIX", "paper_agreement"]

PAPER_AP = 0.735
# Rows: pathologist, columns: the paper's system, groups 1-5.
PAPER_MATRIX = ((38, 6, 0, 6, 6), (0, 0, 0, 0, 2), (0, 0, 0, 0, 1), (0, 0, 0, 2, 1), (0, 2, 0, 3, 117))


def paper_agreement() -> GroupAgreement:
    """Accuracy, interval, kappa and recalls of the paper's confusion matrix."""
    return group_agreement(
        (true, found)
        for true, row in zip(GROUPS, PAPER_MATRIX, strict=True)
        for found, number in zip(GROUPS, row, strict=True)
        for _ in range(number)
    )
