"""The demonstration laboratory: accounts whose passwords everyone knows and rendered cases in every state.

Nothing in it is a person or a patient. It is filled by the same steps that the pages take, with the real models and
real signatures, and it is never mixed with a real laboratory: `fill` refuses a folder that is one, and a folder that
was filled says `demo = true` in its settings, so that `serve` refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from her2core.errors import NotFoundError, SettingsError, TrainingError
from her2core.records import (
    IHC,
    Case,
    CaseDetails,
    CorrectionKind,
    Exclusion,
    Nucleus,
    Overlap,
    Population,
    RegionFlags,
    Role,
    SignalIntensity,
    Tally,
    User,
)
from her2core.scoring import iou
from her2core.settings import SETTINGS_FILE, Settings, load_settings

if TYPE_CHECKING:
    from her2core.accounts import Accounts
    from her2core.caselog import CaseLog
    from her2core.pipeline import Models
    from her2core.reporting.keys import Keyring
    from her2core.training.render import RenderedRegion

__all__ = ["ACCOUNTS", "CASES", "CA_PASSPHRASE", "DemoAccount", "DemoCase", "Goal", "Sample", "fill", "is_filled"]

CA_PASSPHRASE = "demonstration"  # noqa: S105 - no secret
"""Of the demonstration's root key; whoever holds it could sign demonstration reports, which is the point."""

_COMPLETE = "demonstration-complete"
_STEM = "region-"  # of a region's file name, before its number
_LABORATORY = """# Written by `python -m her2core demo`. Never use this folder for patients.
demo = true
laboratory_name = "Demonstration Laboratory"
laboratory_address = "1 Example Street, Exampletown"
laboratory_director = "Dr Miriam Berg"
"""


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """An account of the demonstration, with its password, which is no secret."""

    username: str
    password: str
    full_name: str
    credentials: str
    role: Role


ACCOUNTS = (
    DemoAccount("berg", "demo-pathologist-one", "Miriam Berg", "MD", Role.PATHOLOGIST),
    DemoAccount("okafor", "demo-pathologist-two", "Samuel Okafor", "MD, FRCPath", Role.PATHOLOGIST),
    DemoAccount("lind", "demo-lab-manager", "Jonas Lind", "MSc", Role.LAB_MANAGER),
    DemoAccount("nair", "demo-administrator", "Priya Nair", "", Role.ADMINISTRATOR),
)


class Goal(IntEnum):
    """How far a case is taken."""

    DRAFT = 0
    FLAGGED = 1
    ANALYSED = 2
    REVIEWED = 3
    READY = 4
    SIGNED = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """Regions of one population of a demonstration case: of which group, and from which seed on they are rendered."""

    label: str
    group: int
    clusters: bool
    regions: int
    seed: int
    share_percent: float | None = None


@dataclass(frozen=True, slots=True)
class DemoCase:
    """A case of the demonstration: whose, of which group, how far it is taken, and the seed of its own regions.

    second: a second population B, whose share the pathologist gave; the rest is population A, which all other fields
    are about.
    """

    accession: str
    patient: str
    group: int
    goal: Goal
    seed: int
    ihc: IHC | None = None
    clusters: bool = False
    regions: int = 2
    second: Sample | None = None

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The populations, A first."""
        share = 100.0 if self.second is None else 100.0 - (self.second.share_percent or 0.0)
        first = Sample("A", self.group, self.clusters, self.regions, self.seed, share)
        return (first,) if self.second is None else (first, self.second)


_AMPLIFIED_THIRD = Sample("B", 1, clusters=True, regions=2, seed=162, share_percent=30.0)

CASES = (
    DemoCase("DEMO-001", "Abel, Demo", 5, Goal.DRAFT, regions=1, seed=1),
    DemoCase("DEMO-002", "Brook, Demo", 1, Goal.FLAGGED, clusters=True, seed=40),
    DemoCase("DEMO-003", "Cole, Demo", 1, Goal.ANALYSED, clusters=True, seed=80),
    DemoCase("DEMO-004", "Dale, Demo", 4, Goal.REVIEWED, seed=4),
    DemoCase("DEMO-005", "Ebert, Demo", 3, Goal.REVIEWED, ihc=IHC.TWO_PLUS, seed=5),
    DemoCase("DEMO-006", "Falk, Demo", 5, Goal.READY, ihc=IHC.ONE_PLUS, seed=6),
    DemoCase("DEMO-007", "Grant, Demo", 1, Goal.SIGNED, ihc=IHC.THREE_PLUS, clusters=True, seed=120),
    DemoCase("DEMO-008", "Holm, Demo", 5, Goal.SIGNED, ihc=IHC.ZERO, seed=8),
    DemoCase("DEMO-009", "Imre, Demo", 4, Goal.SIGNED, ihc=IHC.ONE_PLUS, seed=9),
    DemoCase("DEMO-010", "Jarl, Demo", 5, Goal.SIGNED, ihc=IHC.TWO_PLUS, seed=10, second=_AMPLIFIED_THIRD),
)

Progress = Callable[[str], None]

_REASON = "The nuclei without a colour are cut by the section; signals elsewhere are strong."  # to count all the same
# Nuclei that the models left out because they saw no signal of a colour; a reader may see one.
_UNCOUNTED = (Exclusion.NO_HER2, Exclusion.NO_CEP17, Exclusion.NO_SIGNAL)


def is_filled(data_dir: Path) -> bool:
    """Whether the folder holds the whole demonstration laboratory."""
    return (data_dir / _COMPLETE).exists()


def fill(settings: Settings, progress: Progress, cases: Sequence[DemoCase] = CASES) -> bool:
    """Make the demonstration laboratory in `settings.data_dir`; False where it is there already.

    A fill that was killed is taken up where it stopped. Raises SettingsError for a folder that holds a real
    laboratory, ModelError where the models cannot be loaded.
    """
    _refuse_real_laboratory(settings.data_dir)
    if is_filled(settings.data_dir):
        return False
    from her2core.accounts import Accounts
    from her2core.caselog import CaseLog
    from her2core.models import write_atomically
    from her2core.pipeline import load_models
    from her2core.reporting.keys import Keyring

    progress("loading the models")
    models = load_models(settings.weights_dir, settings.device)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(settings.data_dir / SETTINGS_FILE, _LABORATORY.encode())
    own = load_settings({"HER2CORE_DATA": str(settings.data_dir)})
    with CaseLog(settings.data_dir) as log:
        room = _Room(own, log, Accounts(log), Keyring(settings.data_dir, CA_PASSPHRASE), models)
        progress("making accounts and signing keys")
        people = {account.username: _account(room, account) for account in ACCOUNTS}
        for number, plan in enumerate(cases, start=1):
            tell = _labelled(progress, f"case {number} of {len(cases)}")
            _advance(room, plan, number, people[ACCOUNTS[0].username], tell)
    write_atomically(settings.data_dir / _COMPLETE, b"")
    return True


@dataclass(frozen=True, slots=True)
class _Room:
    settings: Settings
    log: CaseLog
    accounts: Accounts
    keyring: Keyring
    models: Models


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda text: progress(f"{label}: {text}")


def _refuse_real_laboratory(data_dir: Path) -> None:
    holds_something = (data_dir / SETTINGS_FILE).exists() or _has_accounts(data_dir)
    if holds_something and not load_settings({"HER2CORE_DATA": str(data_dir)}).demo:
        raise SettingsError(
            f"{data_dir} holds a real laboratory; the demonstration is not mixed with it. Set HER2CORE_DATA to another "
            "folder for the demonstration, or start the laboratory with `python -m her2core serve`."
        )


def _has_accounts(data_dir: Path) -> bool:
    """Whether anybody works there: a case log that was only opened once, without an account, is no laboratory yet."""
    from her2core.caselog import CaseLog

    if not (data_dir / "caselog.sqlite").exists():
        return False
    with CaseLog(data_dir) as log:
        log.open()
        return bool(log.users())


def _account(room: _Room, account: DemoAccount) -> User:
    from her2core import workflow

    user = room.log.user_by_name(account.username)
    if user is None:
        user, _ = workflow.create_account_with_key(
            room.accounts,
            room.keyring,
            room.settings.laboratory_name,
            account.username,
            account.full_name,
            account.credentials,
            account.role,
            account.password,
            None,
        )
    if user.role is Role.PATHOLOGIST and not room.keyring.has_key(user):
        room.keyring.ensure_laboratory_ca(room.settings.laboratory_name)
        room.keyring.issue(user, account.password)
    return user


# --- cases ------------------------------------------------------------------------------------------------------------


def _advance(room: _Room, plan: DemoCase, number: int, by: User, progress: Progress) -> None:
    """Take a case to its goal, each step only where it was not taken yet."""
    from her2core import workflow

    case = _opened(room, plan, number, by)
    progress("rendering")
    rendered = [region for sample in plan.samples for region in _regions(sample)]
    _uploaded(room, case, rendered, by)
    if plan.goal >= Goal.FLAGGED:
        populations = tuple(Population(sample.label, sample.share_percent) for sample in plan.samples)
        if case.populations != populations:
            workflow.set_populations(room.log, case.id, populations, room.log.case(case.id).version, by)
        for region in room.log.regions(case.id):
            if region.flags is None:
                flags = _flags(_sample_of(plan, region.filename), heterogeneous=plan.second is not None)
                workflow.set_flags(room.log, region.id, flags, by)
    if plan.goal >= Goal.ANALYSED:
        progress("analysing")
        _analysed(room, case, plan, by)
    if plan.goal >= Goal.REVIEWED and not workflow.assess(room.log, case.id).reviewed:
        progress("reviewing")
        _corrected(room, case, rendered, by)
        for point in workflow.assess(room.log, case.id).unsettled:
            workflow.acknowledge(room.log, case.id, point, by, _REASON if point.needs_reason else "")
        workflow.confirm_review(room.log, case.id, room.log.case(case.id).version, by)
    if plan.goal >= Goal.READY:
        _prepared(room, case, by)
    if plan.goal >= Goal.SIGNED and not room.log.reports(case.id):
        progress("signing")
        _signed(room, case, by)


def _opened(room: _Room, plan: DemoCase, number: int, by: User) -> Case:
    try:
        return room.log.case_by_accession(plan.accession)
    except NotFoundError:
        pass
    today = date.today()
    details = CaseDetails(
        accession=plan.accession,
        patient_name=plan.patient,
        patient_id=f"D-{1000 + number}",
        date_of_birth=date(1950 + 3 * number, 1 + number, 10 + number),
        sex="F",
        requester="Demonstration Clinic",
        specimen="core biopsy" if number % 2 else "resection",
        site="breast",
        laterality="left" if number % 3 else "right",
        block=f"{'AB'[number % 2]}{number}",
        fixative="10 % neutral buffered formalin",
        fixation_hours=12.0 + number,
        cold_ischaemia_min=20.0 + number,
        collected_on=today - timedelta(days=4),
        received_on=today - timedelta(days=3),
        probe_kit="demonstration kit",
        probe_lot=f"LOT-{100 + number}",
        probe_expiry=today + timedelta(days=300),
        controls_ok=True,
        ihc=plan.ihc,
        ihc_same_sample=None if plan.ihc is None else True,
    )
    return room.log.create_case(details, by)


def _regions(sample: Sample) -> Iterator[RenderedRegion]:
    """The regions of a population: rendered ones whose truth lies well inside the group and that nothing measured
    speaks against. The same at each call."""
    from her2core.imaging import quality
    from her2core.training.render import render_region

    found = 0
    for attempt in range(200):
        try:
            region = render_region((sample.seed, attempt), sample.group, nucleus_px=(60, 110))
        except TrainingError:
            continue
        clustered = any(nucleus["cluster"] for nucleus in region.truth["nuclei"])
        fits = clustered >= sample.clusters and _well_inside(_true_tally(region.truth), sample.group)
        if fits and not quality.advice(quality.measure(region.pixels_rgb)):
            found += 1
            yield region
            if found == sample.regions:
                return
    raise TrainingError(f"The renderer shows no plain region of group {sample.group}.")


def _true_tally(truth: dict[str, Any]) -> Tally:
    scored = [nucleus for nucleus in truth["nuclei"] if nucleus["scorable"]]
    return Tally(len(scored), sum(n["her2"] for n in scored), sum(n["cep17"] for n in scored))


def _well_inside(tally: Tally, group: int) -> bool:
    """Enough nuclei, and so far from the borders of the group that a few of them do not move the case out of it."""
    if tally.n < 16 or not tally.cep17:
        return False
    copies, ratio = tally.her2 / tally.n, tally.her2 / tally.cep17
    ranges = {1: (5.0, 40.0, 2.6, 20.0), 3: (6.5, 40.0, 1.0, 1.8), 4: (4.3, 5.6, 1.0, 1.8), 5: (0.5, 3.2, 0.5, 1.6)}
    least_copies, most_copies, least_ratio, most_ratio = ranges[group]
    return least_copies <= copies <= most_copies and least_ratio <= ratio <= most_ratio


def _uploaded(room: _Room, case: Case, rendered: Sequence[RenderedRegion], by: User) -> None:
    from her2core import workflow
    from her2core.imaging import DEFAULT_LIMITS

    present = {region.filename for region in room.log.regions(case.id)}
    for number, region in enumerate(rendered, start=1):
        name = _name(number, region)
        if name not in present:
            workflow.add_region(room.log, case.id, region.data, name, by, DEFAULT_LIMITS)


def _name(number: int, region: RenderedRegion) -> str:
    return f"{_STEM}{number}{region.suffix}"


def _sample_of(plan: DemoCase, filename: str) -> Sample:
    """The population that an uploaded region shows."""
    order = [sample for sample in plan.samples for _ in range(sample.regions)]
    return order[int(Path(filename).stem.removeprefix(_STEM)) - 1]


def _flags(sample: Sample, heterogeneous: bool) -> RegionFlags:
    return RegionFlags(
        heterogeneous=heterogeneous,
        population=sample.label,
        clusters=sample.clusters,
        signal_intensity=SignalIntensity.GOOD,
        overlap=Overlap.LITTLE,
        suitable=True,
    )


def _analysed(room: _Room, case: Case, plan: DemoCase, by: User) -> None:
    from her2core import workflow
    from her2core.imaging import read_region
    from her2core.pipeline import analyse

    for region in room.log.regions(case.id):
        if room.log.analysis(region.id) is None:
            image = read_region(room.log.image_bytes(region), region.filename)
            clusters = _sample_of(plan, region.filename).clusters
            room.log.save_analysis(region.id, analyse(image.pixels_rgb, room.models, clusters_expected=clusters), by)
    workflow.refresh_state(room.log, case.id, by)


def _corrected(room: _Room, case: Case, rendered: Sequence[RenderedRegion], by: User) -> None:
    """What a careful reader would correct: counts that differ from the truth of the rendering."""
    from her2core import workflow

    truths = {_name(number, region): region.truth for number, region in enumerate(rendered, start=1)}
    for region in workflow.assess(room.log, case.id).regions:
        for reviewed in region.nuclei:
            nucleus = reviewed.nucleus
            true = _true_nucleus(nucleus, truths[region.region.filename])
            if reviewed.edited or true is None or not (nucleus.scored or nucleus.reason in _UNCOUNTED):
                continue
            counts = {"her2": true["her2"], "cep17": true["cep17"]}
            if counts != {"her2": nucleus.her2, "cep17": nucleus.cep17}:
                workflow.correct(
                    room.log, region.region.id, nucleus.id, CorrectionKind.COUNTS, counts, by, "recounted on screen"
                )


def _true_nucleus(nucleus: Nucleus, truth: dict[str, Any]) -> dict[str, Any] | None:
    """The scorable nucleus of the truth that the box shows; None where it shows none of them well."""
    best = max(
        (n for n in truth["nuclei"] if n["scorable"]), key=lambda true: iou(nucleus.box, true["box"]), default=None
    )
    return best if best is not None and iou(nucleus.box, best["box"]) >= 0.5 else None


def _prepared(room: _Room, case: Case, by: User) -> None:
    """Attest and acknowledge what signing asks for."""
    from her2core import workflow

    if not room.log.no_discordance_attested(case.id):
        workflow.attest(room.log, case.id, by, True)
    for warning in workflow.assess(room.log, case.id).warnings:
        if not warning.acknowledged:
            workflow.acknowledge(room.log, case.id, warning, by, _REASON if warning.needs_reason else "")


def _signed(room: _Room, case: Case, by: User) -> None:
    from her2core import workflow

    workflow.sign_out(
        room.log,
        room.keyring,
        room.accounts,
        case.id,
        room.log.case(case.id).version,
        by,
        ACCOUNTS[0].password,
        workflow.MEANING,
        laboratory=workflow.laboratory_of(room.settings),
        demonstration=True,
    )
