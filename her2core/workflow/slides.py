"""From a whole slide to the regions of a case: the slides that lie in the data folder, the search for good fields, and
the fields that the pathologist takes.

Slides are too large to be sent through a browser: the scanner, or who looks after it, puts them into `slides/` of the
data folder. They are only read; what is taken of them becomes a region file at full resolution, kept like any other.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from her2core.caselog import CaseLog
from her2core.errors import CancelledError, Her2CoreError, NotFoundError
from her2core.imaging import ImageLimits
from her2core.imaging.fields import Field, Findings, find_fields
from her2core.imaging.slide import Slide
from her2core.permissions import Action, require
from her2core.records import Region, User
from her2core.workflow.steps import add_region

__all__ = ["SLIDES", "SearchStatus", "SlideFile", "SlideSearches", "slide_files", "take_fields"]

SLIDES: Final = "slides"
"""The folder of slides within the data folder."""

_SUFFIXES: Final = frozenset({".tif", ".tiff", ".btf", ".tf8"})
_KEPT: Final = 6
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SlideFile:
    """A slide as it lies in the folder: its name, bytes, and when it was last changed."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """How a search stands. It has ended once there are `findings` or a `problem` in words."""

    fraction: float = 0.0
    stage: str = "Waiting for another search"
    findings: Findings | None = None
    problem: str | None = None

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.findings is None and self.problem is None


def slide_files(data_dir: Path) -> tuple[SlideFile, ...]:
    """The slides that can be chosen, by name; none where there is no folder. Links are passed over."""
    found = []
    try:
        for path in (data_dir / SLIDES).iterdir():
            if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and not path.is_symlink():
                status = path.stat()
                if path.is_file():
                    found.append(SlideFile(path.name, status.st_size, status.st_mtime_ns))
    except OSError:
        return tuple(found)
    return tuple(sorted(found, key=lambda file: file.name))


def take_fields(
    log: CaseLog, case_id: int, slide: SlideFile, fields: Sequence[Field], by: User, limits: ImageLimits
) -> tuple[Region, ...]:
    """Make regions of the case of these fields, at full resolution. Raises ImageError, CaseLogError, NotFoundError
    where the slide is no longer as it was, and DuplicateError for a field that is a region already."""
    regions = []
    with Slide(_path(log.data_dir, slide)) as opened:
        for field in fields:
            data = opened.field(field.left, field.top, field.width, field.height)
            name = f"{Path(slide.name).stem}_x{field.left}_y{field.top}.tif"
            regions.append(add_region(log, case_id, data, name, by, limits)[0])
    return tuple(regions)


class SlideSearches:
    """The searches of this process, one at a time; several sessions share them, and what was found is kept."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._known: OrderedDict[SlideFile, SearchStatus] = OrderedDict()
        self._stops: dict[SlideFile, threading.Event] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="her2core-slides")

    def start(self, slide: SlideFile, by: User) -> None:
        """Search a slide, unless that goes on or was done. Raises PermissionDeniedError."""
        require(by, Action.ADD_REGION)
        with self._lock:
            known = self._known.get(slide)
            if known is not None and known.problem is None:
                return
            self._known[slide] = SearchStatus()
            self._stops[slide] = threading.Event()
            while len(self._known) > _KEPT:
                oldest = next((file for file, status in self._known.items() if not status.active), None)
                if oldest is None:
                    break
                del self._known[oldest]
                self._stops.pop(oldest, None)
        self._pool.submit(self._search, slide, self._stops[slide])

    def status(self, slide: SlideFile) -> SearchStatus | None:
        """How the search of a slide stands; None where nobody asked for one, or its result is no longer kept."""
        with self._lock:
            return self._known.get(slide)

    def stop(self, slide: SlideFile) -> None:
        """End a search that goes on."""
        with self._lock:
            if slide in self._stops:
                self._stops[slide].set()

    def close(self) -> None:
        """End all searches."""
        with self._lock:
            for stop in self._stops.values():
                stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _search(self, slide: SlideFile, stop: threading.Event) -> None:
        def told(fraction: float, stage: str) -> None:
            self._set(slide, SearchStatus(fraction, stage))

        try:
            with Slide(_path(self._data_dir, slide)) as opened:
                findings = find_fields(opened, told=told, cancelled=stop.is_set)
            self._set(slide, SearchStatus(1.0, "Finished", findings))
        except CancelledError:
            self._set(slide, SearchStatus(problem="The search was stopped."))
        except Her2CoreError as error:
            self._set(slide, SearchStatus(problem=str(error)))
        except Exception:
            _logger.exception("the search of a slide failed")
            words = "The search stopped unexpectedly. Try again; if it fails again, tell the administrator."
            self._set(slide, SearchStatus(problem=words))

    def _set(self, slide: SlideFile, status: SearchStatus) -> None:
        with self._lock:
            if slide in self._known:
                self._known[slide] = status


def _path(data_dir: Path, slide: SlideFile) -> Path:
    """Where a slide lies, as it was chosen. Raises NotFoundError where it is gone or was changed."""
    if slide not in slide_files(data_dir):
        raise NotFoundError("The slide was changed or taken away meanwhile. Load the page and choose it again.")
    return data_dir / SLIDES / slide.name
