"""`batch`: archives and trials, thousands of region images from folder to folder."""

from __future__ import annotations

import os
from pathlib import Path

import click

from her2core.cli._shared import Progress, device_option, weights_option
from her2core.settings import COUNTING, load_settings

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
    clusters: bool,
    counting: str | None,
    device: str | None,
    weights: Path | None,
) -> None:
    """Analyse every region image below the folder SOURCE; each different image has one result, as Parquet.

    A batch that was stopped or killed goes on where it was when it is run again. Images that fail are rows with their
    error, the others go on, and the exit code is 1.
    """
    from her2core.batch import ModelRecipe, run
    from her2core.imaging import ImageLimits

    settings = load_settings()
    recipe = ModelRecipe(
        (weights or settings.weights_dir).absolute(),
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
        f"{done.files} files, {done.images} images ({done.duplicates} files are copies of others): {done.before} had a "
        f"result, {done.done} got one, of which {len(done.failed)} failed; {len(done.unread)} files cannot be read. "
        f"Tables: {out / 'images'}, {out / 'nuclei'}"
    )
    if done.failed or done.unread:
        ctx.exit(1)
