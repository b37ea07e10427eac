"""`batch`: archives and trials, thousands of region images from folder to folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.cli._shared import Progress, chosen_models, device_option, open_case_log, person_named, weights_option
from her2core.settings import COUNTING, load_settings

if TYPE_CHECKING:
    from her2core.caselog import CaseLog
    from her2core.imaging import ImageLimits
    from her2core.records import User

__all__ = ["batch"]

_SHOWN = 20  # failures listed on the screen; all are in the tables


@click.command()
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the results.")
@click.option("--workers", type=click.IntRange(1, 4096), default=1, show_default=True, help="Images at a time.")
@click.option(
    "--engine", type=click.Choice(["auto", "ray", "processes"]), default="auto", show_default=True,
    help="Ray Data, or processes of this machine; auto takes Ray where it is installed.",
)  # fmt: skip
@click.option("--address", help="Address of a Ray cluster; without it this machine does the work.")
@click.option(
    "--into-case-log", metavar="USERNAME",
    help="Afterwards make a research case of each analysed image, in the name of this pathologist.",
)  # fmt: skip
@click.option("--clusters", is_flag=True, help="The regions show clustered HER2 signals.")
@click.option("--counting", type=click.Choice(COUNTING), help="How to count; the setting holds otherwise.")
@device_option
@weights_option
@click.pass_context
def batch(
    ctx: click.Context,
    source: Path,
    out: Path,
    workers: int,
    engine: str,
    address: str | None,
    into_case_log: str | None,
    clusters: bool,
    counting: str | None,
    device: str | None,
    weights: Path | None,
) -> None:
    """Analyse every region image below the folder SOURCE; each different image has one result, as Parquet.

    A batch that was stopped or killed goes on where it was when it is run again. Images that fail are rows with their
    error, the others go on, and the exit code is 1; a batch that is run again tries them again.
    """
    from her2core.batch import ModelRecipe, run
    from her2core.imaging import ImageLimits

    settings = load_settings()
    log = None if into_case_log is None else open_case_log(settings)
    by = None if log is None or into_case_log is None else person_named(log, into_case_log)
    recipe = ModelRecipe(
        chosen_models(settings, weights).absolute(),
        device or settings.device,
        counting or settings.counting,
        clusters,
        ImageLimits.of(settings),
        threads=0 if address else max(1, (os.cpu_count() or 1) // workers),
    )
    progress = Progress()
    done = run(
        source.absolute(), out, recipe, workers=workers, engine=engine, address=address,
        told=lambda what, number, total: progress.show("batch", f"[{number}/{total or '?'}] {what}"),
    )  # fmt: skip
    progress.done(f"{done.done} images analysed in {done.seconds:.1f} s")
    for name, error in (*done.unread, *done.failed)[:_SHOWN]:
        click.echo(f"{name}: FAILED: {error}", err=True)
    click.echo(
        f"{done.files} files, {done.images} images ({done.duplicates} files are copies of others): {done.before} were "
        f"analysed before, {done.done} now, of which {len(done.failed)} failed; {len(done.unread)} files cannot be "
        f"read. Tables: {out / 'images'}, {out / 'nuclei'}"
    )
    not_imported: tuple[tuple[str, str], ...] = ()
    if log is not None and by is not None:
        not_imported = _import(log, out, source.absolute(), by, recipe.limits)
    if done.failed or done.unread or not_imported:
        ctx.exit(1)


def _import(log: CaseLog, out: Path, source: Path, by: User, limits: ImageLimits) -> tuple[tuple[str, str], ...]:
    """Make research cases and say what came of it; what failed."""
    from her2core.workflow.research import import_batch

    progress = Progress()
    imported = import_batch(
        log, out, source, by, limits, lambda name, number: progress.show("import", f"[{number}] {name}")
    )
    progress.done(f"{imported.new} research cases made, {imported.present} were there")
    for name, error in imported.failed[:_SHOWN]:
        click.echo(f"{name}: NOT IMPORTED: {error}", err=True)
    return imported.failed
