"""A laboratory on disk for the tests of jobs, workflow and pages: people with real keys, and regions drawn plainly.

The drawn regions are read by `read_drawing`, which stands in for the models: it finds discs of DAPI and the bright dots
in them, which is all that there is to find. Tests with the real models are in tests/browser.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from argon2 import PasswordHasher
from PIL import Image
from scipy import ndimage

from her2core import workflow
from her2core.accounts import Accounts
from her2core.caselog import CaseLog
from her2core.errors import CancelledError
from her2core.imaging import DEFAULT_LIMITS, read_region
from her2core.records import (
    IHC,
    Box,
    Case,
    CaseDetails,
    Channel,
    ModelUsed,
    Nucleus,
    Overlap,
    Region,
    RegionAnalysis,
    RegionFlags,
    Role,
    Signal,
    SignalIntensity,
    User,
)
from her2core.reporting.content import Laboratory
from her2core.reporting.keys import Keyring
from her2core.scoring import judge, overlap_fractions
from her2core.workflow import Format

__all__ = [
    "CA_PASSPHRASE",
    "FLAGS",
    "PASSWORDS",
    "PEOPLE",
    "StandIn",
    "TestLaboratory",
    "count_drawn",
    "draw_region",
    "read_drawing",
]

CA_PASSPHRASE = "passphrase of the root"
PEOPLE = {
    "berg": ("Miriam Berg", Role.PATHOLOGIST),
    "okafor": ("Samuel Okafor", Role.PATHOLOGIST),
    "lind": ("Jonas Lind", Role.LAB_MANAGER),
    "nair": ("Priya Nair", Role.ADMINISTRATOR),
}
PASSWORDS = {name: f"long secret of {name} 42" for name in PEOPLE}
LABORATORY = "Laboratory of the tests"
FLAGS = RegionFlags(False, "A", False, SignalIntensity.GOOD, Overlap.LITTLE, True)

_CELL, _RADIUS = 64, 24
# Where the signals of a nucleus lie, far enough apart to be told apart: six HER2, four CEP17.
_HER2 = ((-12, -8), (12, -8), (0, 14), (-14, 6), (14, 6), (0, -16))
_CEP17 = ((-6, 0), (6, 0), (0, 6), (0, -7))


def draw_region(counts: Sequence[tuple[int, int]], shade: int = 120) -> bytes:
    """PNG of a region with one round nucleus for each (HER2 0-6, CEP17 0-4), eight in a row, none at the edge.

    `shade` is the DAPI level: another one makes another field, with nuclei of two sizes, a little to the left or right.
    """
    aside, radii = np.zeros(len(counts), int), np.full(len(counts), _RADIUS)
    if shade != 120:
        rng = np.random.default_rng(shade)
        aside, radii = rng.choice((-7, 0, 7), len(counts)), rng.choice((18, _RADIUS), len(counts))
    rows = -(-len(counts) // 8)
    pixels = np.zeros((rows * _CELL + 16, 8 * _CELL + 16, 3), dtype=np.uint8)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    for index, (her2, cep17) in enumerate(counts):
        cx, cy = 8 + _CELL // 2 + _CELL * (index % 8) + aside[index], 8 + _CELL // 2 + _CELL * (index // 8)
        pixels[..., 2][np.hypot(x - cx, y - cy) <= radii[index]] = shade
        for channel, places in ((0, _HER2[:her2]), (1, _CEP17[:cep17])):
            for dx, dy in places:
                pixels[..., channel][np.hypot(x - cx - dx, y - cy - dy) <= 2] = 230
    pixels[0, 0] = (40, 40, 40)  # no channel is empty, whatever was asked for
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class StandIn:
    """What stands in for the loaded models."""

    used: ClassVar = (
        ModelUsed("detector", "stand-in", "1", "a" * 64),
        ModelUsed("counter", "stand-in", "1", "b" * 64, "density"),
    )


def read_drawing(
    pixels_rgb: np.ndarray,
    models: Any,
    *,
    clusters_expected: bool = False,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> RegionAnalysis:
    """`pipeline.analyse` for drawn regions."""
    height, width = pixels_rgb.shape[:2]
    discs, _ = ndimage.label(pixels_rgb[..., 2] > 60)
    found: list[Box] = [
        (float(xs.start), float(ys.start), float(xs.stop), float(ys.stop))
        for ys, xs in ndimage.find_objects(discs)
        if xs.stop - xs.start > _RADIUS
    ]
    overlaps = overlap_fractions(found)
    nuclei = []
    for index, box in enumerate(found):
        if cancelled is not None and cancelled():
            raise CancelledError("stopped")
        if progress is not None:
            progress(index / len(found), f"Counting signals in {len(found)} nuclei")
        nuclei.append(_count(pixels_rgb, box, index + 1, overlaps[index]))
    return RegionAnalysis(width, height, tuple(nuclei), StandIn.used, {"focus_ratio": 2.0}, "cpu", 0.1)


def count_drawn(pixels_rgb: np.ndarray, box: Box, nucleus_id: int) -> Nucleus:
    """`pipeline.count_box` for drawn regions."""
    return replace(_count(pixels_rgb, box, nucleus_id, 0.0), score=1.0)


def _count(pixels_rgb: np.ndarray, box: Box, nucleus_id: int, overlap: float) -> Nucleus:
    x0, y0, x1, y1 = (round(side) for side in box)
    signals: list[Signal] = []
    for index, channel in enumerate(Channel):
        dots, number = ndimage.label(pixels_rgb[y0:y1, x0:x1, index] > 200)
        signals += [
            Signal(channel, x0 + x, y0 + y) for y, x in ndimage.center_of_mass(dots > 0, dots, range(1, number + 1))
        ]
    her2 = sum(s.channel is Channel.HER2 for s in signals)
    cep17 = len(signals) - her2
    reason = judge(her2, cep17, box, pixels_rgb.shape[1], pixels_rgb.shape[0], overlap)
    return Nucleus(
        nucleus_id, box, 0.9, her2, cep17, float(her2), float(cep17), False, reason is None, reason, tuple(signals)
    )


@dataclass
class TestLaboratory:
    """A laboratory with its people; `person(name)` is the account."""

    __test__ = False

    data_dir: Path
    log: CaseLog
    accounts: Accounts
    keyring: Keyring

    @staticmethod
    def make(data_dir: Path) -> TestLaboratory:
        """A new laboratory with everybody in PEOPLE."""
        lab = TestLaboratory.reopen(data_dir)
        cheap = Accounts(lab.log, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        for name, (full_name, role) in PEOPLE.items():
            _, problem = workflow.create_account_with_key(
                cheap, lab.keyring, LABORATORY, name, full_name, "MD", role, PASSWORDS[name], None
            )
            assert problem is None
        (data_dir / "settings.toml").write_text(f'laboratory_name = "{LABORATORY}"\n')
        return lab

    @staticmethod
    def reopen(data_dir: Path) -> TestLaboratory:
        """The laboratory in a folder."""
        log = CaseLog(data_dir).open()
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        return TestLaboratory(data_dir, log, Accounts(log, hasher), Keyring(data_dir, CA_PASSPHRASE))

    def person(self, name: str) -> User:
        """The account of one of PEOPLE."""
        user = self.log.user_by_name(name)
        assert user is not None
        return user

    def open_case(self, accession: str = "S26-001", by: str = "berg", **changes: Any) -> Case:
        """A case that is complete but for its regions."""
        details = CaseDetails(
            accession, "Muster, Erika", "MRN-77", block="A1", specimen="core biopsy", controls_ok=True, **changes
        )
        return self.log.create_case(details, self.person(by))

    def add_region(self, case: Case, counts: Sequence[tuple[int, int]], shade: int = 120, by: str = "berg") -> Region:
        """A drawn region, uploaded."""
        region, _ = workflow.add_region(
            self.log, case.id, draw_region(counts, shade), f"region-{shade}.png", self.person(by), DEFAULT_LIMITS
        )
        return region

    def analyse(self, region: Region, flags: RegionFlags = FLAGS, by: str = "berg") -> None:
        """Flag a region and store what `read_drawing` finds in it."""
        workflow.set_flags(self.log, region.id, flags, self.person(by))
        pixels = read_region(self.log.image_bytes(region), region.filename).pixels_rgb
        self.log.save_analysis(region.id, read_drawing(pixels, StandIn()), self.person(by))
        workflow.refresh_state(self.log, region.case_id, self.person(by))

    def analysed(self, counts: Sequence[tuple[int, int]], accession: str = "S26-001", **changes: Any) -> Case:
        """A case with one analysed region."""
        case = self.open_case(accession, **changes)
        self.analyse(self.add_region(case, counts))
        return self.log.case(case.id)

    def reviewed(self, counts: Sequence[tuple[int, int]], accession: str = "S26-001", **changes: Any) -> Case:
        """The same, with the counts confirmed."""
        case = self.analysed(counts, accession, **changes)
        workflow.confirm_review(self.log, case.id, case.version, self.person("berg"))
        return self.log.case(case.id)

    def ready(self, counts: Sequence[tuple[int, int]], accession: str = "S26-001", **changes: Any) -> Case:
        """The same, attested and with its warnings read."""
        case = self.reviewed(counts, accession, **changes)
        workflow.attest(self.log, case.id, self.person("berg"), True)
        for warning in workflow.assess(self.log, case.id).warnings:
            workflow.acknowledge(self.log, case.id, warning, self.person("berg"))
        return self.log.case(case.id)

    def sign(self, case: Case, name: str = "berg") -> Any:
        """The case signed out."""
        current = self.log.case(case.id)
        return workflow.sign_out(
            self.log, self.keyring, self.accounts, case.id, current.version, self.person(name), PASSWORDS[name]
        )


def release(
    log: CaseLog, case_id: int, file_format: Format, laboratory: Laboratory, by: User | None, **more: Any
) -> str:
    """The text that other systems are sent, noted as exported."""
    return workflow.report_of(log, case_id, file_format, laboratory, by, **more).handed_out(log).decode()


POSITIVE = [(6, 2)] * 20  # ratio 3.0, 6.0 copies: Group 1
NEGATIVE = [(2, 2)] * 20  # ratio 1.0, 2.0 copies: Group 5
GROUP_3 = [(6, 4)] * 20  # ratio 1.5, 6.0 copies
GROUP_4 = [(4, 3)] * 20  # ratio 1.33, 4.0 copies
IHC_SAME: dict[str, Any] = {"ihc": IHC.TWO_PLUS, "ihc_same_sample": True}
