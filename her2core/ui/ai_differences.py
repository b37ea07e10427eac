"""What people changed of what the AI said: the totals, and each nucleus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from her2core import workflow
from her2core.records import Nucleus, Tally
from her2core.scoring import copy_number, ratio
from her2core.ui.services import Services
from her2core.ui.words import escaped, number
from her2core.workflow import CaseReview, NucleusDifference, TotalsDifference

__all__ = ["DIFFERENCES_STYLE", "nuclei_html", "show", "totals_html"]

DIFFERENCES_STYLE = """<style>
.h2c-diff {width: 100%; border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums;}
.h2c-diff th {font-weight: 500; opacity: .65; font-size: 12px; text-align: left; padding: 2px 8px 3px 0;
  position: sticky; top: 0;}
.h2c-diff td {padding: 3px 8px 3px 0; vertical-align: top; border-top: 1px solid rgba(140,155,170,.2);}
.h2c-diff td:nth-child(2), .h2c-diff td:nth-child(3) {white-space: nowrap;}
.h2c-diff td.moved {font-weight: 700;}
</style>"""


def show(rooms: Services, review: CaseReview) -> None:
    """The two tables."""
    st.html(DIFFERENCES_STYLE)
    st.html(totals_html(workflow.totals_differences(review)))
    found = workflow.nucleus_differences(review)
    if not found:
        st.caption("No nucleus differs from what the AI said.")
        return
    people = {person.id: person.full_name for person in rooms.log.users()}
    st.html(nuclei_html(found, people))


def totals_html(lines: Sequence[TotalsDifference]) -> str:
    """A line of the AI and one of the final count for each population; what differs is bold."""
    several = len(lines) > 1
    rows = []
    for line in lines:
        name = f"Population {line.population}, " if several else ""
        changed = f"{line.nuclei_changed} of {line.nuclei} nuclei differ"
        ai, final = _numbers(line.ai, line.ai_group), _numbers(line.final, line.final_group)
        cells = "".join(
            f"<td{'' if a == f else ' class=moved'}>{escaped(f)}</td>" for a, f in zip(ai, final, strict=True)
        )
        rows.append(f"<tr><td>{escaped(name)}AI</td>{''.join(f'<td>{escaped(a)}</td>' for a in ai)}</tr>")
        rows.append(f"<tr><td>{escaped(name)}final: {changed}</td>{cells}</tr>")
    names = ("", "nuclei", "HER2", "CEP17", "per cell", "ratio", "group by counts")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    return f'<table class="h2c-diff">{head}{"".join(rows)}</table>'


def nuclei_html(found: Sequence[NucleusDifference], people: Mapping[int, str]) -> str:
    """A line for each nucleus that differs. All text is escaped."""
    rows = "".join(
        f"<tr><td>{escaped(d.region)} · {d.final.id}</td><td>{_counts(d.ai)}</td><td>{_counts(d.final)}</td>"
        f"<td>{escaped(_what(d))}</td>"
        f"<td>{escaped(', '.join(people.get(by, '?') for by in d.by_user_ids))}</td></tr>"
        for d in found
    )
    head = "<tr><th>Nucleus</th><th>AI</th><th>Final</th><th>What differs</th><th>By</th></tr>"
    return f'<table class="h2c-diff">{head}{rows}</table>'


def _numbers(t: Tally, group: int | None) -> tuple[str, ...]:
    called = "–" if group is None else str(group)
    return str(t.n), str(t.her2), str(t.cep17), number(copy_number(t)), number(ratio(t)), called


def _counts(nucleus: Nucleus | None) -> str:
    """HER2 and CEP17; in brackets where the nucleus is not scored."""
    if nucleus is None:
        return "–"
    pair = " / ".join("–" if count is None else str(count) for count in (nucleus.her2, nucleus.cep17))
    return pair if nucleus.scored else f"({pair})"


def _what(d: NucleusDifference) -> str:
    reasons = f" ({'; '.join(d.reasons)})" if d.reasons else ""
    return ", ".join(d.changes) + reasons
