"""`collect` and `model`: what the laboratory's corrected cases teach, and which models count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.cli._shared import Progress, device_option, open_case_log, person_named
from her2core.settings import load_settings

if TYPE_CHECKING:
    from her2core.laboratory.candidates import Comparison
    from her2core.laboratory.promotion import Candidate

__all__ = ["collect", "model"]

_by_option = click.option("--by", "username", required=True, help="Account of the lab manager who does it.")
_reason_option = click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
_folder = click.argument("candidate", type=click.Path(path_type=Path, exists=True, file_okay=False))


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@_by_option
def collect(out: Path, username: str) -> None:
    """Write the signed cases that were given to training into OUT/training and OUT/held-out, without any name."""
    from her2core.laboratory.teaching_set import PARTS, export_teaching_set

    log = open_case_log(load_settings())
    progress = Progress()
    made = export_teaching_set(
        log, out, person_named(log, username), lambda done, total: progress.show("exporting", f"{done}/{total}")
    )
    progress.done(f"{sum(made.cases.values())} cases, {made.corrected} of their nuclei corrected by a person")
    for part in PARTS:
        click.echo(f"{part}: {made.cases[part]} cases, {made.regions[part]} regions, {made.nuclei[part]} nuclei")
    if not made.cases[PARTS[1]]:
        click.echo("No patient is held out yet, so nothing can judge a model. Give more cases to training.", err=True)


@click.group()
def model() -> None:
    """Compare, promote and roll back the models of the laboratory."""


@model.command("list")
def list_models() -> None:
    """The models in use, every promotion and roll-back, and the candidates in the data folder."""
    from her2core.laboratory.promotion import candidates

    settings = load_settings()
    log = open_case_log(settings)
    promotions = log.promotions()
    for record in promotions:
        what = "roll-back" if record.rolled_back else "forced promotion" if record.forced else "promotion"
        who = log.user(record.by_user_id).username
        names = ", ".join(record.models.values())
        click.echo(
            f"{record.at:%Y-%m-%d %H:%M} {what} by {who}: {names} [{record.folder or 'as set'}]: {record.reason}"
        )
    if not promotions:
        click.echo(f"In use: those of the settings, {settings.weights_dir}")
    for candidate in candidates(log, settings.weights_dir):
        click.echo(f"candidate {candidate.folder}: {_standing(candidate)}")


@model.command("compare")
@_folder
@click.option(
    "--own", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
    help="Held-out corrected cases (truth.json), such as OUT/held-out of `collect`.",
)  # fmt: skip
@click.option(
    "--rendered", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
    help="Regions of the old style (truth.json), as `render` writes them.",
)  # fmt: skip
@click.option("--forgetting", type=click.FloatRange(0, 1), help="Share of the rendered regions that may be lost.")
@device_option
@click.pass_context
def compare(
    ctx: click.Context, candidate: Path, own: Path, rendered: Path, forgetting: float | None, device: str | None
) -> None:
    """Let CANDIDATE (a folder of weights and cards) and the models in use read the same held-out regions.

    The result is kept in CANDIDATE/comparison.json. Exit code 1 where it speaks against a promotion.
    """
    from her2core import workflow
    from her2core.laboratory.candidates import FORGETTING
    from her2core.laboratory.promotion import compare_candidate

    settings = load_settings()
    log = open_case_log(settings)
    progress = Progress()
    found = compare_candidate(
        candidate,
        workflow.models_dir(log, settings.weights_dir),
        own,
        rendered,
        device=device or settings.device,
        counting=settings.counting,
        forgetting=FORGETTING if forgetting is None else forgetting,
        progress=lambda what, done, total: progress.show(what, f"{done}/{total}"),
    )
    progress.done("compared")
    for comparison in (found.own, found.rendered):
        if comparison is not None:
            click.echo(_line(comparison))
    click.echo(_standing(found))
    if found.problem or found.against:
        ctx.exit(1)


@model.command("promote")
@_folder
@_by_option
@_reason_option
@click.option("--force", is_flag=True, help="Although it is worse; the reason must say why.")
def promote(candidate: Path, username: str, reason: str, force: bool) -> None:
    """Put a compared CANDIDATE into use from now on. Results that are stored keep the models that made them."""
    from her2core.laboratory.promotion import promote as put_into_use

    settings = load_settings()
    log = open_case_log(settings)
    record = put_into_use(log, settings.weights_dir, candidate, reason, person_named(log, username), force=force)
    click.echo(f"In use: {', '.join(record.models.values())} [{record.folder}]")


@model.command("rollback")
@click.argument("folder")
@_by_option
@_reason_option
def roll_back(folder: str, username: str, reason: str) -> None:
    """Put earlier models back into use: FOLDER as `model list` shows it, or `settings` for those of the settings."""
    from her2core.laboratory.promotion import roll_back as put_back

    settings = load_settings()
    log = open_case_log(settings)
    wanted = "" if folder == "settings" else folder
    record = put_back(log, settings.weights_dir, wanted, reason, person_named(log, username))
    click.echo(f"In use: {', '.join(record.models.values())} [{record.folder or 'as set'}]")


def _line(c: Comparison) -> str:
    (change, (low, high)), (off, (off_low, off_high)) = c.accuracy, c.her2_off
    return (
        f"{c.name}: {c.current.regions} regions of {c.current.patients} patients; true group "
        f"{100 * c.current.accuracy:.1f} -> {100 * c.candidate.accuracy:.1f} % ({100 * change:+.1f} points, 95 % "
        f"interval {100 * low:+.1f} to {100 * high:+.1f}); HER2 off by {100 * c.current.her2_off:.1f} -> "
        f"{100 * c.candidate.her2_off:.1f} % ({100 * off:+.1f}, {100 * off_low:+.1f} to {100 * off_high:+.1f})"
    )


def _standing(candidate: Candidate) -> str:
    if candidate.problem:
        return candidate.problem
    return " ".join(candidate.against) if candidate.against else "Nothing speaks against a promotion."
