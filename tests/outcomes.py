"""`python -m tests.outcomes RUN.xml… docs/security.md` writes what a run of `make faults` found into the document.

RUN.xml is pytest's JUnit file; there are several where the run was made in pieces, and a later one counts where two
tell of the same test. Each table stands between two comments, `<!-- Faults -->` and `<!-- end -->`, and is replaced as
a whole; so is what the run was made on. Exit code 1, with nothing written, where the run is not complete. With `--keep`
first, lines of the document that these runs do not tell of stay as they are.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.proof import PARTS

__all__ = ["Outcome", "latest", "outcomes_in", "outcomes_of", "table", "written_into"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of a table. `tries` is 0 where the test failed or was skipped, and `outcome` says so."""

    part: str
    what: str
    tries: int
    outcome: str
    seconds: float
    passed: bool


def outcomes_of(junit: str) -> list[Outcome]:
    """The published tests of a run, in the order in which they ran; others are left out."""
    found = []
    for case in ET.fromstring(junit).iter("testcase"):
        properties = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        if "part" not in properties:
            continue
        failed = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        passed = failed is None and "outcome" in properties
        found.append(
            Outcome(
                part=properties["part"],
                what=properties["what"],
                tries=int(properties.get("tries", 0)),
                outcome=properties["outcome"] if passed else _why_not(failed),
                seconds=float(case.get("time", 0)),
                passed=passed,
            )
        )
    return found


def outcomes_in(document: str) -> list[Outcome]:
    """The lines of the tables, as they were written into the document."""
    found = []
    for part in PARTS:
        for line in _lines(document, part):
            what, tries, outcome, seconds = (cell.replace("\\|", "|") for cell in re.split(r"(?<!\\) \| ", line[2:-2]))
            passed = not outcome.startswith(("FAILED", "NOT TRIED"))
            found.append(Outcome(part, what, int(tries.replace(",", "")), outcome, float(seconds), passed))
    return found


def _lines(document: str, part: str) -> list[str]:
    table = re.search(rf"<!-- {part} -->\n(.*?)<!-- end -->", document, re.DOTALL)
    return [] if table is None else [line for line in table[1].splitlines() if line.startswith("| ")][1:]


def latest(runs: Iterable[Iterable[Outcome]]) -> list[Outcome]:
    """The outcomes of several runs: of each line the last one, where it stood first."""
    return list({(outcome.part, outcome.what): outcome for run in runs for outcome in run}.values())


def _why_not(failed: ET.Element | None) -> str:
    if failed is not None and failed.tag == "skipped":
        return f"NOT TRIED here: {failed.get('message', '')}"
    return "FAILED"


def table(outcomes: Iterable[Outcome]) -> str:
    """A Markdown table of one part."""
    lines = ["| What was tried | Tries | Outcome | Seconds |", "|---|---:|---|---:|"]
    lines += [f"| {_cell(o.what)} | {o.tries:,} | {_cell(o.outcome)} | {o.seconds:.1f} |" for o in outcomes]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def written_into(document: str, outcomes: Sequence[Outcome], made: str) -> str:
    """The document with its tables replaced. Raises ValueError where a table has no place or no line."""
    for part in PARTS:
        own = [outcome for outcome in outcomes if outcome.part == part]
        if not own:
            raise ValueError(f"this run has nothing of the part {part}")
        document = _replaced(document, part, table(own))
    return _replaced(document, "Run", made)


def _replaced(document: str, name: str, text: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if len(pattern.findall(document)) != 1:
        raise ValueError(f"the document has no place for {name}")
    return pattern.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", document)


def _made(outcomes: Sequence[Outcome], pieces: int, kept: int) -> str:
    """Where, when and with how many tries, in one sentence."""
    tries, seconds = sum(o.tries for o in outcomes), sum(o.seconds for o in outcomes)
    failed = sum(not o.passed for o in outcomes)
    verdict = "all as they should be" if not failed else f"{failed} NOT as they should be"
    machine = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"
    run = "Run" if pieces == 1 else f"Last of {pieces} runs, in pieces on a machine at other work too,"
    if kept:
        run = f"In pieces, on a machine at other work too; {kept} lines are of earlier runs, the last"
    return (
        f"{run} of {datetime.now(UTC):%d %b %Y %H:%M} UTC on {machine}: {len(outcomes)} tests, {tries:,} tries, "
        f"{seconds:,.0f} seconds, {verdict}."
    )


def main(arguments: Sequence[str]) -> int:
    """Exit code."""
    keep = arguments[0] == "--keep"
    *runs, path = (Path(argument) for argument in arguments[keep:])
    document = path.read_text(encoding="utf-8")
    earlier = outcomes_in(document) if keep else []
    told = latest(outcomes_of(run.read_text(encoding="utf-8")) for run in runs)
    found = latest([earlier, told])
    try:
        text = written_into(document, found, _made(found, len(runs), len(found) - len(told) if keep else 0))
    except ValueError as error:
        sys.stderr.write(f"{path} is left as it was: {error}\n")
        return 1
    path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{path}: {len(found)} outcomes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
