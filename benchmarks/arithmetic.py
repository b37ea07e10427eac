"""`python -m benchmarks.arithmetic`: what 8 bits change. The same regions, boxes and weights, counted in both.

Counts every third region of the rendered test sets of `benchmarks.accuracy` twice, in the 8 bits that the counter's
card asks for and in float32, in the same boxes and read alike, and writes benchmarks/results/arithmetic.md: how many
counts, and how many regions' groups, come out otherwise, and how many groups are right. A tenth of these is counted a
third time, in 8 bits without the instructions for them, as on an older processor or a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from unittest import mock

import numpy as np
import torch
from PIL import Image

from benchmarks.accuracy.sets import SETS, RenderedSet, rendered
from her2core import eight_bits
from her2core.counting import Counter
from her2core.eight_bits import RANGES, without_ranges
from her2core.models import load_weights, short_name, write_atomically
from her2core.pipeline import Models, analyse, load_models
from her2core.records import Nucleus
from her2core.scoring import group
from her2core.scoring.tally import tally
from her2core.training.readings import TrueRegion, nuclei_in, read_regions

__all__ = ["Compared", "compare", "in_float32", "table", "without_instructions"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_CLUSTERS_APART = 0.1  # of a clustered nucleus' signals; single ones follow how the estimate was fitted
_EVERY_REGION = 3
_EVERY = 10  # of which one is counted without the instructions, too


@dataclass(slots=True)
class Compared:
    """Two ways of computing on the same regions: nuclei; how many that neither takes for clustered have another HER2
    count; how many are taken for clustered by one alone, or differ there by a tenth; how many have another CEP17 count;
    regions with another group, and regions whose group is the true one, for either way."""

    title: str
    nuclei: int = 0
    her2: int = 0
    clusters: int = 0
    cep17: int = 0
    regions: int = 0
    groups: int = 0
    right: tuple[int, int] = (0, 0)

    def add(self, one: Sequence[Nucleus], other: Sequence[Nucleus], true_group: int | None) -> None:
        """A region, its nuclei as both ways count them, in the same order."""
        self.nuclei += len(one)
        for a, b in zip(one, other, strict=True):
            clustered = a.clustered or b.clustered
            self.her2 += not clustered and a.her2 != b.her2
            self.clusters += clustered and (a.clustered != b.clustered or _apart(a.her2 or 0, b.her2 or 0))
            self.cep17 += a.cep17 != b.cep17
        groups = [group(tally(nuclei)) for nuclei in (one, other)]
        self.regions += 1
        self.groups += groups[0] != groups[1]
        self.right = (self.right[0] + (groups[0] == true_group), self.right[1] + (groups[1] == true_group))

    @classmethod
    def of_all(cls, parts: Sequence[Self], title: str) -> Self:
        """The sum of comparisons."""
        right = sum(p.right[0] for p in parts), sum(p.right[1] for p in parts)
        names = ("nuclei", "her2", "clusters", "cep17", "regions", "groups")
        return cls(title, right=right, **{name: sum(getattr(part, name) for part in parts) for name in names})


def _apart(one: int, other: int) -> bool:
    return abs(one - other) > _CLUSTERS_APART * max(one, other)


def in_float32(models: Models, weights_dir: Path) -> Models:
    """The same models, with a counter that computes in float32 whatever its card asks for."""
    state, card = load_weights(weights_dir / "counter.safetensors")
    return replace(models, counter=Counter(state, card | {"config": without_ranges(card["config"])}, models.device))


@contextmanager
def without_instructions() -> Iterator[None]:
    """Models that are loaded meanwhile compute as where a processor cannot multiply 8 bits."""
    with mock.patch.object(eight_bits, "multiplies_8_bits", lambda: False):
        yield


def compare(
    folder: Path, regions: Sequence[TrueRegion], one: Models, other: Models, title: str, tell: Callable[[str], None]
) -> Compared:
    """Both models' counts of the regions of a folder, in the boxes that the first finds."""
    found = Compared(title)
    for done, region in enumerate(regions, start=1):
        pixels = np.asarray(Image.open(folder / region.image).convert("RGB"))
        boxes = [nucleus.box for nucleus in analyse(pixels, one).nuclei]
        first, second = ([nucleus for nucleus, _ in nuclei_in(pixels, models, boxes)] for models in (one, other))
        found.add(first, second, region.group)
        if done % 20 == 0:
            tell(f"{title}: {done} of {len(regions)}")
    return found


def table(rows: Sequence[Compared], heads: tuple[str, str]) -> list[str]:
    """Lines of a Markdown table; `heads` name the two ways."""
    lines = [
        "| regions | nuclei | other HER2, not clustered | HER2 in clusters, a tenth apart | other CEP17 "
        f"| other group | right in {heads[0]} | right in {heads[1]} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = [f"{n} ({100 * n / max(row.nuclei, 1):.2f} %)" for n in (row.her2, row.clusters, row.cep17)]
        right = [f"{n} ({100 * n / max(row.regions, 1):.1f} %)" for n in row.right]
        lines.append(
            f"| {row.title}: {row.regions} | {row.nuclei} | {' | '.join(share)} | {row.groups} | {' | '.join(right)} |"
        )
    return lines


def _document(models: Models, both: Sequence[Compared], older: Compared | None) -> str:
    lines = [
        "# 8 bits and float32",
        "",
        f"Written by `python -m benchmarks.arithmetic`, torch {torch.__version__}. Counter: "
        f"{short_name(models.counter.card)}. The same boxes are counted in 8 bits, as the card asks, and in float32; "
        "both are read as the card says, which is fitted to 8 bits.",
        "",
        *table([*both, Compared.of_all(both, "All")], ("8 bits", "float32")),
    ]
    if older is not None:
        lines += [
            "",
            "In 8 bits, with the processor's instructions for them and with sums of whole numbers in float32, as on an "
            "older processor or a GPU:",
            "",
            *table([older], ("8 bits", "8 bits without the instructions")),
        ]
    return "\n".join(lines) + "\n"


def _regions(test: RenderedSet, work: Path, tell: Callable[[str], None]) -> tuple[Path, list[TrueRegion]] | None:
    folder = rendered(test, work, tell)
    return None if folder is None else (folder, read_regions(folder)[::_EVERY_REGION])


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arithmetic", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "work", help="where rendered sets lie, or are rendered")
    parser.add_argument("--weights", type=Path, default=ROOT / "models", help="folder of both models")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    given = parser.parse_args(argv)

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    models = load_models(given.weights, "cpu")
    if RANGES not in models.counter.card["config"]:
        tell("The card of this counter asks for float32: there is nothing to compare.")
        return 1
    plain = in_float32(models, given.weights)
    with without_instructions():
        older_models = load_models(given.weights, "cpu")
    sets = [(test.title, found) for test in SETS if (found := _regions(test, given.work, tell)) is not None]
    both = [compare(folder, regions, models, plain, title, tell) for title, (folder, regions) in sets]
    older = None
    if eight_bits.multiplies_8_bits():
        parts = [
            compare(folder, regions[::_EVERY], models, older_models, f"{title}, without instructions", tell)
            for title, (folder, regions) in sets
        ]
        older = Compared.of_all(parts, "One of ten")
    write_atomically(given.out / "arithmetic.md", _document(models, both, older).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
