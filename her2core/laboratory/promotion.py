"""Candidates become the laboratory's models, or do not: compared, promoted with a reason, rolled back.

    CANDIDATE/detector.safetensors, counter.safetensors and cards    one or both stages; the other stays as it is
    CANDIDATE/comparison.json                                        what `compare_candidate` found of these very files
    DATA/models/FOLDER/                                              each pair that was ever promoted, never changed

Nothing that is stored is counted again: a result keeps the models that made it, whatever is promoted later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from her2core.caselog import CaseLog
from her2core.caselog.learning import PromotionRecord
from her2core.errors import ModelError, TrainingError, WrongStateError
from her2core.laboratory.candidates import FORGETTING, Comparison, compare, comparison_of, measure, reasons_against
from her2core.laboratory.validating import read_cases
from her2core.models import cards_of, fingerprint, load_weights, short_name, write_atomically
from her2core.permissions import Action, require
from her2core.pipeline import load_models
from her2core.records import STAGES, User
from her2core.training.detector_data import data_digest
from her2core.workflow.models_in_use import PROMOTED, models_dir

__all__ = [
    "CANDIDATES",
    "COMPARISON",
    "STAGES",
    "Candidate",
    "candidates",
    "compare_candidate",
    "promote",
    "read_candidate",
    "roll_back",
]

COMPARISON = "comparison.json"
CANDIDATES = "candidates"
"""Folder of the data folder in which the page Models looks for candidates."""
_SCHEMA = "her2core.comparison/1"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Models that were compared. `problem`: why they cannot be promoted at all; `against`: why they should not be."""

    folder: Path
    models: dict[str, str]
    own: Comparison | None
    rendered: Comparison | None
    against: tuple[str, ...]
    problem: str | None = None


def compare_candidate(
    candidate: Path,
    current: Path,
    own: Path,
    rendered: Path,
    *,
    device: str = "auto",
    counting: str = "density",
    forgetting: float = FORGETTING,
    progress: Callable[[str, int, int], None] | None = None,
) -> Candidate:
    """Let the candidate and the models in `current` read both sets; comparison.json is written into `candidate`.

    Args:
        candidate: folder with one or both stages; a stage that is missing is taken from `current`.
        own: held-out corrected cases of the laboratory (truth.json). rendered: regions of the old style.

    Raises TrainingError for a folder without truth, ModelError where a model cannot be used.
    """
    found: dict[str, Comparison] = {}
    pair = _completed(candidate, current)
    sides = {"current": load_models(current, device, counting), "candidate": load_models(pair, device, counting)}
    for name, folder in (("own", own), ("rendered", rendered)):
        rows = {}
        for side, models in sides.items():
            run = read_cases(folder, models, _telling(progress, f"{name}, {side} models"))
            if run.failures:
                raise TrainingError(f"{run.failures[0][0]} of the {name} regions cannot be read: {run.failures[0][1]}")
            rows[side] = measure(run.reads)
        found[name] = compare(name, rows["current"], rows["candidate"])
    document = {
        "schema": _SCHEMA,
        "candidate": _digests(pair),
        "current": _digests(current),
        "data": {"own": data_digest(own), "rendered": data_digest(rendered)},
        "forgetting": forgetting,
        **{name: comparison.to_dict() for name, comparison in found.items()},
    }
    write_atomically(candidate / COMPARISON, (json.dumps(document, indent=1) + "\n").encode())
    return read_candidate(candidate, current)


def _telling(progress: Callable[[str, int, int], None] | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


def _completed(candidate: Path, current: Path) -> Path:
    """The candidate's folder, with the stage that it lacks copied from the models in use."""
    present = [stage for stage in STAGES if (candidate / f"{stage}.safetensors").exists()]
    if not present:
        raise TrainingError(f"{candidate} holds neither detector.safetensors nor counter.safetensors.")
    for stage in set(STAGES) - set(present):
        _copy(stage, current, candidate, (".json", ".safetensors"))  # the weights last: they say that it is there
    return candidate


def _copy(stage: str, source: Path, target: Path, endings: tuple[str, str]) -> None:
    """Both files of a model, each whole or not at all."""
    for ending in endings:
        write_atomically((target / stage).with_suffix(ending), (source / stage).with_suffix(ending).read_bytes())


def _verify(folder: Path) -> None:
    """Raises ModelError, as `load_weights` does, where the files are not those of their cards."""
    for stage in STAGES:
        load_weights(folder / f"{stage}.safetensors")


def _digests(folder: Path) -> dict[str, str]:
    """Of weights and how they are read: the same network with another reading counts otherwise."""
    return {stage: fingerprint(card) for stage, card in cards_of(folder).items()}


def _names(folder: Path) -> dict[str, str]:
    return {stage: short_name(card) for stage, card in cards_of(folder).items()}


def read_candidate(folder: Path, current: Path) -> Candidate:
    """What is known of a candidate against the models in `current`. Never raises for what the folder holds."""
    try:
        document = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        own, rendered = comparison_of(document["own"]), comparison_of(document["rendered"])
        against = reasons_against(own, rendered, float(document["forgetting"]))
        stated, compared = dict(document["candidate"]), dict(document["current"])
        names, digests, now = _names(folder), _digests(folder), _digests(current)
    except FileNotFoundError:
        return Candidate(folder, {}, None, None, (), "It was not compared yet: run “model compare”.")
    except (OSError, ValueError, KeyError, TypeError, TrainingError, ModelError) as error:
        return Candidate(folder, {}, None, None, (), f"Its comparison or its cards cannot be read ({error}).")
    problem = None
    if stated != digests:
        problem = "Its files are not those that were compared. Run “model compare” again."
    elif digests == now:
        problem = "These are the models in use."
    elif compared != now:
        problem = "It was compared with models that are no longer in use. Run “model compare” again."
    return Candidate(folder, names, own, rendered, against, problem)


def candidates(log: CaseLog, settings_dir: Path) -> list[Candidate]:
    """The candidates in the data folder, by name."""
    current = models_dir(log, settings_dir)
    folder = log.data_dir / CANDIDATES
    return [read_candidate(path, current) for path in sorted(folder.glob("*")) if path.is_dir()]


def promote(
    log: CaseLog, settings_dir: Path, folder: Path, reason: str, by: User, *, force: bool = False
) -> PromotionRecord:
    """Put a compared candidate into use from now on; what is stored stays as it is.

    Raises PermissionDeniedError; WrongStateError where it was not compared with the models in use, or is worse and
    `force` is not given; CaseLogError without a reason; ModelError where its files cannot be used.
    """
    require(by, Action.MANAGE_MODELS)
    last = log.promotions()[:1]
    current = models_dir(log, settings_dir)
    candidate = read_candidate(folder, current)
    if candidate.problem is not None:
        raise WrongStateError(candidate.problem)
    if candidate.against and not force:
        raise WrongStateError(
            f"{' '.join(candidate.against)} It was not promoted; to do so nevertheless, force it and say why."
        )
    _verify(folder)
    kept = _keep(log.data_dir / PROMOTED, folder)
    comparison: dict[str, Any] = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
    return log.promote_models(
        kept,
        candidate.models,
        reason,
        by,
        after=last[0].id if last else None,
        comparison={**comparison, "against": list(candidate.against)},
        forced=bool(candidate.against),
    )


def _keep(store: Path, folder: Path) -> str:
    """Copy both stages under a name that their digests make; the name. What is there already is not written again."""
    digests = _digests(folder)
    name = hashlib.sha256("".join(digests[stage] for stage in STAGES).encode()).hexdigest()[:16]
    for stage in STAGES:
        if not (store / name / f"{stage}.json").exists():
            _copy(stage, folder, store / name, (".safetensors", ".json"))  # the card last: without it nothing counts
    return name


def roll_back(log: CaseLog, settings_dir: Path, folder: str, reason: str, by: User) -> PromotionRecord:
    """Put models back into use that were in use before; `folder`: theirs, empty for those of the settings.

    Raises PermissionDeniedError, WrongStateError where they are in use or never were, ModelError where their files are
    damaged, CaseLogError without a reason.
    """
    require(by, Action.MANAGE_MODELS)
    earlier = log.promotions()
    if not earlier or earlier[0].folder == folder:
        raise WrongStateError("These models are in use already.")
    if folder and folder not in {record.folder for record in earlier}:
        raise WrongStateError("These models were never in use here.")
    source = log.data_dir / PROMOTED / folder if folder else settings_dir
    _verify(source)
    return log.promote_models(folder, _names(source), reason, by, after=earlier[0].id, rolled_back=True)
