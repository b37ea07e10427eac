"""Which folder the models come from: that of the settings, or promoted ones kept in the data folder."""

from __future__ import annotations

from pathlib import Path

from her2core.caselog import CaseLog

__all__ = ["PROMOTED", "models_dir"]

PROMOTED = "models"
"""Folder of the data folder that holds each pair of promoted models, in a folder of its own that is never changed."""


def models_dir(log: CaseLog, settings_dir: Path) -> Path:
    """The folder of the models that count now. `settings_dir`: what the settings say."""
    folder = log.models_folder()
    return log.data_dir / PROMOTED / folder if folder else settings_dir
