"""What is made once a process and shared by all sessions: case log, accounts, keys, the analysis queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from her2core import workflow
from her2core.accounts import Accounts
from her2core.caselog import CaseLog
from her2core.imaging import ACCEPTED, ImageLimits, PixelsRGB, RegionImage, read_region
from her2core.jobs import Analyse, AnalysisJobs
from her2core.records import Box, Nucleus, Region, RegionAnalysis, User
from her2core.reporting.keys import Keyring
from her2core.settings import Settings, load_settings
from her2core.ui.collecting import spare_imports
from her2core.workflow import RegionReview

if TYPE_CHECKING:
    from her2core.pipeline import Models

__all__ = ["Services", "count_box", "image_limits", "region_image", "services"]

_ORIGIN = "web application"


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms of her2core, opened on one data folder."""

    settings: Settings
    log: CaseLog
    accounts: Accounts
    keyring: Keyring
    jobs: AnalysisJobs


def services() -> Services:
    """The services for the settings that hold now. Raises SettingsError and CaseLogError."""
    spare_imports()
    settings = load_settings()
    key = (str(settings.data_dir.absolute()), str(settings.weights_dir), settings.device)
    log, accounts, keyring, jobs = _opened(key, settings)
    return Services(settings, log, accounts, keyring, jobs)


def region_image(log: CaseLog, region: Region) -> RegionImage:
    """The verified pixels of a stored region; decoded once, then shared between sessions and never changed."""
    return _decoded(region.image_sha256, log, region)


def image_limits(settings: Settings) -> ImageLimits:
    """What the laboratory's settings accept as an upload."""
    return ImageLimits.of(settings)


def count_box(rooms: Services, region: RegionReview) -> workflow.CountBox:
    """`pipeline.count_box` for a region: it knows the models, the nuclei that are there, and the pathologist's flag."""

    def count(pixels_rgb: PixelsRGB, box: Box, nucleus_id: int) -> Nucleus:
        from her2core import pipeline

        flags = region.region.flags
        return pipeline.count_box(
            pixels_rgb,
            box,
            nucleus_id,
            rooms.jobs.models(),
            others=[r.nucleus.box for r in region.nuclei],
            clusters_expected=flags is not None and flags.clusters,
        )

    return count


def _close(opened: tuple[CaseLog, Accounts, Keyring, AnalysisJobs]) -> None:
    opened[3].close()
    opened[0].close()


@st.cache_resource(show_spinner=False, max_entries=4, on_release=_close)
def _opened(key: tuple[str, str, str], _settings: Settings) -> tuple[CaseLog, Accounts, Keyring, AnalysisJobs]:
    del key  # what the cache goes by
    log = CaseLog(_settings.data_dir, origin=_ORIGIN)
    log.open()
    accounts = Accounts(log)
    keyring = Keyring(_settings.data_dir, _settings.ca_passphrase)

    def after(case_id: int, by: User) -> None:
        workflow.refresh_state(log, case_id, by)

    return log, accounts, keyring, AnalysisJobs(log, _loader(log, _settings), _analyser(), after)


def _analyser() -> Analyse:
    def analyse(*args: Any, **kwargs: Any) -> RegionAnalysis:
        from her2core import pipeline

        return pipeline.analyse(*args, **kwargs)

    return analyse


def _loader(log: CaseLog, settings: Settings) -> Callable[[], Models]:
    def load() -> Models:
        from her2core import pipeline  # torch takes seconds to import; the first analysis waits for it, not the sign-in

        return pipeline.load_models(workflow.models_dir(log, settings.weights_dir), settings.device, settings.counting)

    return load


@st.cache_resource(show_spinner=False, max_entries=8)
def _decoded(sha256: str, _log: CaseLog, _region: Region) -> RegionImage:
    del sha256
    return read_region(_log.image_bytes(_region), _region.filename, ACCEPTED)
