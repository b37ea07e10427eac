"""The things that travel between the rooms of her2core. Frozen, and without behaviour beyond their own arithmetic.

Positions and boxes are pixels of the original region image: x to the right, y down, boxes
(x0, y0, x1, y1) with x1 and y1 exclusive. Times are timezone-aware UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from her2core.errors import ScoringError

__all__ = [
    "FIXATION_HOURS",
    "IHC",
    "LONGEST_ISCHAEMIA_MIN",
    "STAGES",
    "Box",
    "Case",
    "CaseDetails",
    "CaseState",
    "Channel",
    "Correction",
    "CorrectionKind",
    "Exclusion",
    "ModelUsed",
    "Nucleus",
    "Overlap",
    "Population",
    "Region",
    "RegionAnalysis",
    "RegionFlags",
    "Role",
    "Signal",
    "SignalIntensity",
    "SystematicError",
    "Tally",
    "User",
    "models_dict",
]

Box = tuple[float, float, float, float]


class Role(StrEnum):
    """What a user may do; `permissions.py` holds the table."""

    PATHOLOGIST = "pathologist"
    LAB_MANAGER = "lab manager"
    ADMINISTRATOR = "administrator"


class Channel(StrEnum):
    """A FISH probe: HER2 is drawn red, CEP17 green, as the probes' dyes."""

    HER2 = "her2"
    CEP17 = "cep17"


class CaseState(StrEnum):
    """Where a case stands on its way from intake to the case log."""

    DRAFT = "draft"
    ANALYSED = "analysed"
    REVIEWED = "reviewed"
    PENDING_IHC = "pending IHC"
    PENDING_RECOUNT = "pending recount"
    PENDING_ADJUDICATION = "pending adjudication"
    READY = "ready"
    SIGNED = "signed"
    AMENDED = "amended"


class IHC(StrEnum):
    """HER2 immunohistochemistry score; 0+ (faint, at most 10 %) is treated with 0 and 1+ (domain.md 1.11)."""

    ZERO = "0"
    ZERO_PLUS = "0+"
    ONE_PLUS = "1+"
    TWO_PLUS = "2+"
    THREE_PLUS = "3+"


class SignalIntensity(StrEnum):
    """The pathologist's judgement of the signals of a region."""

    GOOD = "good"
    WEAK = "weak"
    UNSCORABLE = "unscorable"


class Overlap(StrEnum):
    """The pathologist's judgement of how far nuclei overlap in a region."""

    LITTLE = "little"
    MODERATE = "moderate"
    SEVERE = "severe"


class Exclusion(StrEnum):
    """Why a nucleus is kept but not scored (domain.md section 2); the values are shown to the user."""

    NO_HER2 = "no HER2 signal"
    NO_CEP17 = "no CEP17 signal"
    NO_SIGNAL = "no signal"
    NO_NUCLEUS = "no nucleus seen in DAPI"
    EDGE = "cut by the image edge"
    OVERLAP = "overlaps another nucleus"
    OUT_OF_FOCUS = "out of focus"
    UNCOUNTABLE = "could not be counted"
    NOT_TUMOUR = "not an invasive tumour nucleus"
    DAMAGED = "damaged or poorly digested"
    OTHER = "other"


def _maybe(value: Any) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Signal:
    """One FISH signal at (x, y)."""

    channel: Channel
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Nucleus:
    """One nucleus as the models, or the corrections laid over them, see it.

    `her2` and `cep17` are whole signals; None where the nucleus could not be counted. `her2_regressed` and
    `cep17_regressed` are stage 2's real-valued regression (Xue et al. 2023). `reason` is set if and only if
    `scored` is false. `uncertain` asks the pathologist to look; `uncertainty` is the chance, 0-1, that a count is
    wrong, and `focus` the sharpness against the median nucleus of the region; both None where not measured.
    """

    id: int
    box: Box
    score: float
    her2: int | None
    cep17: int | None
    her2_regressed: float
    cep17_regressed: float
    clustered: bool
    scored: bool
    reason: Exclusion | None = None
    signals: tuple[Signal, ...] = ()
    uncertain: bool = False
    uncertainty: float | None = None
    focus: float | None = None

    def __post_init__(self) -> None:
        if self.scored == (self.reason is not None):
            raise ScoringError(f"nucleus {self.id}: a reason belongs to exactly the nuclei that are not scored")
        if any(count is not None and count < 0 for count in (self.her2, self.cep17)):
            raise ScoringError(f"nucleus {self.id}: a signal count cannot be negative")
        if self.scored and (self.her2 is None or self.cep17 is None):
            raise ScoringError(f"nucleus {self.id}: a scored nucleus needs both counts")

    def to_dict(self) -> dict[str, Any]:
        """The nucleus as in the `her2core.analysis/1` JSON of architecture.md."""
        return {
            "id": self.id,
            "box": [round(float(side), 2) for side in self.box],
            "score": round(self.score, 4),
            "her2": self.her2,
            "cep17": self.cep17,
            "her2_regressed": round(self.her2_regressed, 3),
            "cep17_regressed": round(self.cep17_regressed, 3),
            "clustered": self.clustered,
            "scored": self.scored,
            "reason": None if self.reason is None else self.reason.value,
            "uncertain": self.uncertain,
            "uncertainty": None if self.uncertainty is None else round(self.uncertainty, 3),
            "focus": None if self.focus is None else round(self.focus, 3),
            "signals": [
                {"channel": s.channel.value, "x": round(float(s.x), 2), "y": round(float(s.y), 2)} for s in self.signals
            ],
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Nucleus:
        """Inverse of `to_dict` up to its rounding."""
        x0, y0, x1, y1 = (float(side) for side in data["box"])
        return Nucleus(
            id=int(data["id"]),
            box=(x0, y0, x1, y1),
            score=float(data["score"]),
            her2=data["her2"],
            cep17=data["cep17"],
            her2_regressed=float(data["her2_regressed"]),
            cep17_regressed=float(data["cep17_regressed"]),
            clustered=bool(data["clustered"]),
            scored=bool(data["scored"]),
            reason=None if data["reason"] is None else Exclusion(data["reason"]),
            signals=tuple(Signal(Channel(s["channel"]), float(s["x"]), float(s["y"])) for s in data["signals"]),
            uncertain=bool(data.get("uncertain", False)),
            uncertainty=_maybe(data.get("uncertainty")),
            focus=_maybe(data.get("focus")),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """N scored nuclei with H HER2 and C CEP17 signals in the same nuclei (domain.md 1.2)."""

    n: int
    her2: int
    cep17: int

    def __post_init__(self) -> None:
        if min(self.n, self.her2, self.cep17) < 0:
            raise ScoringError("a tally cannot hold negative numbers")

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.n + other.n, self.her2 + other.her2, self.cep17 + other.cep17)


STAGES = ("detector", "counter")
"""Both stages, as the files of their models are named."""

_REGRESSION = " by regression"
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class SystematicError:
    """By how much a counter's counts of one region are off together: relative standard deviations of the region's mean.

    Of HER2 where it is not clustered, of CEP17, and of HER2 where it is clustered, as measured on regions that training
    never saw (`scoring.systematic`) and written into the counter's card. Raises ScoringError outside 0 to 1.
    """

    her2: float = 0.0
    cep17: float = 0.0
    her2_clustered: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(sd) and 0 <= sd <= 1 for sd in (self.her2, self.cep17, self.her2_clustered)):
            raise ScoringError("The systematic error of a counter's card has to lie between 0 and 1 for each count.")

    @staticmethod
    def from_dict(said: Mapping[str, Any]) -> SystematicError:
        """Inverse of `to_dict`; what is missing is 0. Raises ScoringError for unknown keys and what is no number."""
        try:
            return SystematicError(**{str(key): float(sd) for key, sd in said.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise ScoringError("The systematic error of a counter's card cannot be read.") from error

    def to_dict(self) -> dict[str, float]:
        """As in the `config` of a card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """A model that took part in an analysis, by its stage ("detector", "counter").

    `sha256` is that of its weights, hexadecimal. Analyses that were stored by the first releases name only its first
    12 digits, and their version where there was one. `reading` says how counts were read off the counter
    (`settings.COUNTING`); empty for a detector, and where it was not recorded. `systematic_error` is what the counter's
    card said of it at that time; None where it said nothing.
    """

    stage: str
    name: str
    version: str
    sha256: str
    reading: str = ""
    systematic_error: SystematicError | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        """For lists and charts, for example "counter 3.1 90ab12cd34ef by regression"."""
        return f"{self.called} {self.sha256[:12]}{f' by {self.reading}' if self.reading == 'regression' else ''}"

    @property
    def called(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()

    @property
    def digest(self) -> str:
        """The SHA-256 as far as it is recorded, and that it is cut off where it is."""
        digits = len(self.sha256)
        return self.sha256 if digits == _SHA256_DIGITS else f"{self.sha256}… (first {digits} digits recorded)"

    def to_dict(self) -> dict[str, Any]:
        """All but the stage, by which dictionaries of models are keyed."""
        said: dict[str, Any] = {"name": self.name, "version": self.version, "sha256": self.sha256}
        if self.reading:
            said["reading"] = self.reading
        if self.systematic_error is not None:
            said["systematic_error"] = self.systematic_error.to_dict()
        return said

    @staticmethod
    def from_dict(said: Mapping[str, Any]) -> ModelUsed:
        """A model from plain values, its stage among them; `dataclasses.asdict` gives them."""
        error = said.get("systematic_error")
        values = {key: str(value) for key, value in said.items() if key != "systematic_error"}
        return ModelUsed(**values, systematic_error=None if error is None else SystematicError.from_dict(error))

    @staticmethod
    def all_of(models: Mapping[str, str | Mapping[str, Any]]) -> tuple[ModelUsed, ...]:
        """The models of a stored analysis, by stage; reads what the first releases stored, too."""
        order = sorted(models, key=lambda stage: STAGES.index(stage) if stage in STAGES else len(STAGES))
        return tuple(ModelUsed._of(stage, models[stage]) for stage in order)

    @staticmethod
    def _of(stage: str, said: str | Mapping[str, Any]) -> ModelUsed:
        if not isinstance(said, str):
            return ModelUsed.from_dict({"stage": stage, **said})
        # "name version first-12-digits", and behind it perhaps how it was read
        named = said.removesuffix(_REGRESSION)
        called, _, sha256 = named.rpartition(" ")
        name, _, version = called.partition(" ")
        return ModelUsed(stage, name, version, sha256, "regression" if named != said else "")


def models_dict(models: Iterable[ModelUsed]) -> dict[str, dict[str, Any]]:
    """Models by their stage, as JSON holds them; inverse of `ModelUsed.all_of`."""
    return {model.stage: model.to_dict() for model in models}


@dataclass(frozen=True, slots=True)
class RegionAnalysis:
    """What the models found in one region image.

    `quality` holds the suitability measures of `imaging.quality`, names with their units.
    """

    width_px: int
    height_px: int
    nuclei: tuple[Nucleus, ...]
    models: tuple[ModelUsed, ...]
    quality: dict[str, float | None] = field(default_factory=dict)
    device: str = "cpu"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account. The id is never given to anyone else."""

    id: int
    username: str
    full_name: str
    credentials: str
    role: Role
    active: bool = True


FIXATION_HOURS = (6, 72)
LONGEST_ISCHAEMIA_MIN = 60
"""ASCO/CAP: fixation from 6 to 72 hours, both included, and cold ischaemia of at most an hour."""


@dataclass(frozen=True, slots=True)
class CaseDetails:
    """What intake records about patient, specimen and assay (domain.md 3.3). Only the first three are required."""

    accession: str
    patient_name: str
    patient_id: str
    date_of_birth: date | None = None
    sex: str = ""
    requester: str = ""
    specimen: str = ""
    site: str = ""
    laterality: str = ""
    block: str = ""
    fixative: str = ""
    fixation_hours: float | None = None
    cold_ischaemia_min: float | None = None
    collected_on: date | None = None
    received_on: date | None = None
    probe_kit: str = ""
    probe_lot: str = ""
    probe_expiry: date | None = None
    controls_ok: bool | None = None
    ihc: IHC | None = None
    ihc_same_sample: bool | None = None


@dataclass(frozen=True, slots=True)
class Population:
    """A tumour-cell population of a case: A alone, or A, B, … where the tumour is heterogeneous."""

    label: str
    share_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A case of the log. `version` rises with every change and guards against lost updates."""

    id: int
    details: CaseDetails
    state: CaseState
    version: int
    created_by: int
    created_at: datetime
    updated_at: datetime
    populations: tuple[Population, ...] = (Population("A", 100.0),)


@dataclass(frozen=True, slots=True)
class RegionFlags:
    """The pathologist's judgement before the models run (Xue et al. 2023, proposed workflow)."""

    heterogeneous: bool
    population: str
    clusters: bool
    signal_intensity: SignalIntensity
    overlap: Overlap
    suitable: bool
    unsuitable_reason: str = ""

    def __post_init__(self) -> None:
        if not self.suitable and not self.unsuitable_reason.strip():
            raise ScoringError("Say why the region is not suitable.")
        if not self.population.strip():
            raise ScoringError("Name the population that the region shows, for example A.")


@dataclass(frozen=True, slots=True)
class Region:
    """A region image of a case. Flags are None until the pathologist has given them; only flagged, suitable regions
    are analysed."""

    id: int
    case_id: int
    filename: str
    image_sha256: str
    width_px: int
    height_px: int
    um_per_px: float | None
    flags: RegionFlags | None


class CorrectionKind(StrEnum):
    """What a correction changes; its `new` value has the stated keys."""

    COUNTS = "set counts"  # {"her2": int, "cep17": int}
    EXCLUDE = "exclude"  # {"reason": Exclusion value}
    INCLUDE = "include"  # {}
    CLUSTER = "set cluster"  # {"clustered": bool}
    ADD = "add nucleus"  # a whole Nucleus.to_dict()
    SIGNALS = "set signals"  # {"signals": [...] as in Nucleus.to_dict()}; the counts follow
    BOX = "move box"  # {"box": [x0, y0, x1, y1]}, and "recount" where the models counted the moved box
    UNDO = "undo"  # {"correction_id": int}


@dataclass(frozen=True, slots=True)
class Correction:
    """One change by a person to what the models said of one nucleus. Never edited, only followed by others."""

    id: int
    region_id: int
    nucleus_id: int
    kind: CorrectionKind
    old: dict[str, Any]
    new: dict[str, Any]
    reason: str
    by_user_id: int
    at: datetime
