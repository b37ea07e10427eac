"""Colours of charts, of Okabe and Ito's palette as boxes and signals are (`her2core.marks`)."""

from __future__ import annotations

from her2core.marks import GREY, ORANGE, SKY

__all__ = ["GREY", "ORANGE", "SKY", "VERMILION"]

VERMILION = "#D55E00"
