"""`python -m benchmarks.accuracy`: evaluate the committed models and peers on every set, write benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accuracy.parts import parts_page
from benchmarks.accuracy.sets import SETS, VALIDATION, RenderedSet, rendered
from benchmarks.accuracy.table import Column, page
from benchmarks.accuracy.tissue import real_tissue, tissue_block
from benchmarks.peers import Classical, Peer, UFish, peer_reading, tune_classical, tune_ufish
from benchmarks.peers.common import Cache
from her2core.imaging import read_region
from her2core.models import write_atomically
from her2core.pipeline import Models, load_models
from her2core.training.evaluate import evaluate
from her2core.training.readings import Pixels, Reading, TrueRegion, read_regions, regression_only
from her2core.training.summary import Read, summarise

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
TISSUE = SHARED / "real" / "her2-fish-tissue"
UFISH = SHARED / "pretrained" / "ufish-onnx" / "v1.0-alldata-ufish_c32.onnx"
REGRESSION = "regression-only"
REGRESSION_TITLE = "our boxes, regression (the paper's pipeline)"
_EVERY = 10  # images between two lines of progress


def say(text: str) -> None:
    """Progress and notices go to standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class PeerReadings:
    """Observes an evaluation: every peer reads the same pixels, one image at a time."""

    peers: Sequence[Peer]
    cache: Cache
    reads: dict[str, list[Read]] = field(default_factory=dict)

    def __call__(self, region: TrueRegion, pixels: Pixels, data: bytes, ours: Reading) -> None:
        self.reads.setdefault(REGRESSION, []).append(Read(region, regression_only(ours)))
        for peer in self.peers:
            self.reads.setdefault(peer.name, []).append(Read(region, peer_reading(peer, pixels, ours, self.cache)))

    def summaries(self, models: Models) -> dict[str, dict[str, Any]]:
        """What each peer reaches, without the list of images."""
        own = {peer.name for peer in self.peers if peer.own_boxes}
        found = {}
        for name, reads in self.reads.items():
            threshold = 0.0 if name in own else models.detector.config.least_stated
            summary, _ = summarise(reads, threshold)
            # A peer states no probabilities, and the simulated reader is the same as ours.
            found[name] = {k: v for k, v in summary.items() if k not in _NOT_OF_PEERS}
        return found


_NOT_OF_PEERS = (
    "per image",
    "score reliability",
    "uncertainty",
    "reader",
    "groups by way of counting",
    "intervals over nuclei alone",  # as their intervals are
)


def tuned_peers(work: Path, notices: list[str], *, processes: int) -> list[Peer]:
    """Peers tuned on rendered validation regions; those that cannot run here are named in `notices`."""
    folder = rendered(VALIDATION, work, say, processes=processes)
    if folder is None:
        notices.append("Peers are left out: their validation regions could not be rendered.")
        return []
    regions = read_regions(folder)
    validation = [(r, read_region((folder / r.image).read_bytes(), r.image).pixels_rgb) for r in regions]
    peers: list[Peer] = [Classical(tune_classical(validation, say))]
    try:
        peers.append(tune_ufish(validation, UFish(UFISH), say))
    except (ImportError, FileNotFoundError) as error:
        notices.append(f"U-FISH is left out: {error}")
    return peers


def titles_of(peers: Sequence[Peer]) -> dict[str, str]:
    """What is compared with her2core, in the table's words, by name."""
    return {REGRESSION: REGRESSION_TITLE, **{p.name: p.title for p in peers}}


def run_set(
    test: RenderedSet, folder: Path, models: Models, peers: Sequence[Peer], results: Path, work: Path, limit: int | None
) -> Column:
    """Evaluate her2core and all peers on one set; writes its folder of results."""

    def progress(done: int, total: int) -> None:
        if done % _EVERY == 0 or done == total:
            say(f"{test.title}: {done} of {total}")

    def spread_out(regions: Sequence[TrueRegion]) -> Sequence[TrueRegion]:
        return regions if limit is None else regions[:: max(1, len(regions) // limit)][:limit]

    started = time.time() - 1  # file systems keep coarse times
    observer = PeerReadings(peers, Cache(work / "peers"))
    ours = evaluate(folder, results / test.name, models, progress=progress, observer=observer, choose=spread_out)
    beside = observer.summaries(models)
    text = json.dumps({"settings": {p.name: p.key for p in peers}, **beside}, indent=1)
    write_atomically(results / test.name / "peers.json", (text + "\n").encode())
    by_title = {title: beside[name] for name, title in titles_of(peers).items()}
    write_atomically(results / test.name / "parts.md", parts_page(test.title, ours, by_title).encode())
    for path in tidy(results / test.name, started):
        say(f"Deleted, as it is no longer written: {path}")
    return Column(test.title, ours, beside, test.name)


def tidy(folder: Path, since: float) -> list[Path]:
    """Delete numbers and figures of a set's folder that were not written since (seconds); returns what went."""
    stale = [p for p in sorted(folder.glob("*")) if p.suffix in {".png", ".json"} and p.stat().st_mtime < since]
    for path in stale:
        path.unlink()
    return stale


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [s.name for s in SETS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, help="evaluate this set only (may be repeated)")
    parser.add_argument("--limit", type=int, help="only so many images of a set, spread over it")
    parser.add_argument("--folder", action="append", default=[], metavar="SET=DIR", help="use this folder for a set")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--no-tissue", action="store_true", help="leave real tissue out")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="where results go")
    parser.add_argument("--work", type=Path, default=ROOT / "work", help="where rendered sets and peers' results lie")
    parser.add_argument("--weights", type=Path, default=ROOT / "models", help="folder of the models")
    parser.add_argument("--processes", type=int, default=2, help="processes that render")
    chosen = parser.parse_args(argv)
    folders = dict(item.partition("=")[::2] for item in chosen.folder)
    if unknown := set(folders) - set(names):
        parser.error(f"--folder knows no set {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen.folder = {name: Path(folder) for name, folder in folders.items()}
    if chosen.limit is not None and chosen.limit < 1:
        parser.error("--limit must be at least 1")
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    """Run what was asked for and write the page."""
    args = arguments(argv)
    models = load_models(args.weights)
    notices: list[str] = []
    if args.limit is not None:
        notices.append(f"Only {args.limit} images a set were used.")
    peers = [] if args.no_peers else tuned_peers(args.work, notices, processes=args.processes)
    columns = []
    for test in (s for s in SETS if args.only is None or s.name in args.only):
        folder = args.folder.get(test.name) or rendered(test, args.work, say, processes=args.processes)
        if folder is None:
            notices.append(f"The set “{test.title}” is left out: its renderer cannot make it.")
            continue
        columns.append(run_set(test, folder, models, peers, args.results, args.work, args.limit))
    titles = titles_of(peers)
    block: list[str] = []
    if not args.no_tissue and TISSUE.exists():
        say("Real tissue")
        tissue = real_tissue(TISSUE, models, peers)
        write_atomically(args.results / "real-tissue.json", (json.dumps(tissue, indent=1) + "\n").encode())
        block = tissue_block(tissue, titles)
    else:
        notices.append("Real tissue is left out: its folder is not here, or it was not wanted.")
    text = page(models.names, columns, titles, block, notices)
    write_atomically(args.results / "accuracy.md", text.encode())
    for notice in notices:
        say(notice)
    say(f"Written: {args.results / 'accuracy.md'}")


if __name__ == "__main__":
    main()
