"""`analyze` and `render`: region images in, region images out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.cli._shared import Progress, chosen_models, device_option, weights_option
from her2core.errors import Her2CoreError
from her2core.settings import COUNTING, Settings, load_settings

if TYPE_CHECKING:
    from her2core.exchange.analysis import ImageResult
    from her2core.pipeline import Models
    from her2core.records import Tally

__all__ = ["analyze", "render"]


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the analysis as JSON; - is stdout.")
@click.option("--overlay", type=click.Path(path_type=Path, file_okay=False), help="Folder for the overlays (PNG).")
@click.option("--clusters", is_flag=True, help="The regions show clustered HER2 signals.")
@click.option("--counting", type=click.Choice(COUNTING), help="How to count; the setting holds otherwise.")
@device_option
@weights_option
@click.pass_context
def analyze(
    ctx: click.Context,
    images: tuple[Path, ...],
    json_file: Path | None,
    overlay: Path | None,
    clusters: bool,
    counting: str | None,
    device: str | None,
    weights: Path | None,
) -> None:
    """Find the nuclei of region images, count their signals, and tally them.

    An image that fails becomes an entry with "error"; the others go on, and the exit code is 1. The groups that are
    printed are per image, for comparison with the paper; they are not a result of a case.
    """
    from her2core import pipeline
    from her2core.exchange.analysis import NOT_A_RESULT, analysis_json, pooled_tally
    from her2core.exchange.overlay import OVERLAY_LEGEND
    from her2core.models import write_atomically

    settings = load_settings()
    for folder in (overlay, json_file.parent if json_file else None):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    models = pipeline.load_models(
        chosen_models(settings, weights), device or settings.device, counting or settings.counting
    )
    to_stdout = json_file == Path("-")
    results = []
    for result in _analysed(images, models, settings, clusters, overlay):
        results.append(result)
        click.echo(_line(result), err=to_stdout)
    pooled = f"pooled over {sum(r.analysis is not None for r in results)} images: {_numbers(pooled_tally(results))}"
    click.echo(f"{pooled}\n({NOT_A_RESULT})", err=to_stdout)
    if overlay is not None:
        click.echo(f"In the overlays: {OVERLAY_LEGEND}", err=to_stdout)
    if to_stdout:
        click.echo(analysis_json(results), nl=False)
    elif json_file is not None:
        write_atomically(json_file, analysis_json(results).encode())
    if any(r.error is not None for r in results):
        ctx.exit(1)


def _analysed(
    paths: Sequence[Path], models: Models, settings: Settings, clusters: bool, overlay: Path | None
) -> Iterator[ImageResult]:
    """Analyse one image after the other; a failure is that image's result and does not stop the rest."""
    from her2core.exchange.analysis import ImageResult

    progress = Progress()
    seen: dict[str, str] = {}
    names = _names(paths)
    for number, (path, name) in enumerate(zip(paths, names, strict=True), start=1):
        label = f"[{number}/{len(paths)}] {name}"
        started = time.monotonic()
        try:
            result = _one_image(path, name, models, settings, clusters, overlay, seen, _report(progress, label))
        except Her2CoreError as error:
            result = ImageResult(name, error=str(error))
        except OSError as error:
            result = ImageResult(name, error=f"The file cannot be read or written: {error.strerror or error}.")
        except Exception as error:  # whatever one image does to a library, the others are still analysed
            result = ImageResult(name, error=f"The analysis failed unexpectedly ({type(error).__name__}: {error}).")
        outcome = "failed" if result.error is not None else "done"
        progress.done(f"{label}: {outcome} in {time.monotonic() - started:.1f} s")
        yield result


def _report(progress: Progress, label: str) -> Callable[[float, str], None]:
    return lambda fraction, stage: progress.show(label, f"{round(100 * fraction)} % {stage}")


def _one_image(
    path: Path,
    name: str,
    models: Models,
    settings: Settings,
    clusters: bool,
    overlay: Path | None,
    seen: dict[str, str],
    progress: Callable[[float, str], None],
) -> ImageResult:
    from her2core import pipeline
    from her2core.exchange.analysis import ImageResult
    from her2core.exchange.overlay import overlay_png
    from her2core.imaging import ImageLimits, LargeImage, RegionImage, open_image
    from her2core.models import write_atomically

    progress(0.0, "reading")
    with open_image(path, ImageLimits.of(settings)) as image:
        first = seen.setdefault(image.sha256, name)
        if first is not name:
            return ImageResult(name, error=f"This is the same image as {first}; it is not counted twice.")
        analysis = pipeline.analyse(image.pixels_rgb, models, clusters_expected=clusters, progress=progress)
        notes = image.notes
        if overlay is not None and isinstance(image, LargeImage):
            notes += ("An image of this size gets no overlay.",)
        elif overlay is not None and isinstance(image, RegionImage):
            write_atomically(overlay / _overlay_name(name), overlay_png(image.pixels_rgb, analysis.nuclei))
        return ImageResult(name, analysis, notes=notes)


def _names(paths: Sequence[Path]) -> list[str]:
    """What the images are called in the output: their file names, or their whole paths where those would clash."""
    names = [path.name for path in paths]
    return [name if names.count(name) == 1 else path.as_posix() for name, path in zip(names, paths, strict=True)]


def _overlay_name(name: str) -> str:
    """`fields/a.jpg` -> `fields_a.jpg_overlay.png`: one name an image, and never that of an image given."""
    return name.strip("/.").replace("/", "_") + "_overlay.png"


def _numbers(tally: Tally) -> str:
    """N, H, C and what follows, decimals cut off; a dash where undefined."""
    from her2core import scoring

    group = scoring.group(tally)
    return (
        f"{tally.n} nuclei, HER2 {tally.her2} ({scoring.truncated(scoring.copy_number(tally))} per nucleus), "
        f"CEP17 {tally.cep17} ({scoring.truncated(scoring.cep17_per_nucleus(tally))}), "
        f"ratio {scoring.truncated(scoring.ratio(tally))}, group {group or '–'}"
    )


def _line(result: ImageResult) -> str:
    from her2core.scoring import tally

    if result.analysis is None:
        return f"{result.image}: FAILED: {result.error}"
    left_out = sum(not nucleus.scored for nucleus in result.analysis.nuclei)
    return f"{result.image}: {_numbers(tally(result.analysis.nuclei))}; {left_out} not scored"


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--count", type=click.IntRange(1, 100_000), required=True, help="How many regions.")
@click.option("--seed", type=click.IntRange(0), required=True, help="The same seed gives the same regions.")
@click.option("--mix", type=click.Choice(["balanced", "paper"]), default="balanced", show_default=True)
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Work on several at once.")
def render(out: Path, count: int, seed: int, mix: str, processes: int) -> None:
    """Render synthetic FISH regions with their truth.json into the folder OUT.

    The mix of groups is balanced, or the paper's: 56, 2, 1, 3 and 122 of 184.
    """
    from her2core.training.render import render_dataset

    if (out / "truth.json").exists():
        raise click.ClickException(
            f"{out} holds a truth.json already, which is not overwritten. Choose another folder."
        )
    progress = Progress()
    path = render_dataset(
        out,
        count,
        seed,
        mix=mix,
        processes=processes,
        progress=lambda done, total: progress.show("rendering", f"{done}/{total}"),
    )
    progress.done(f"{count} regions rendered")
    click.echo(path)
