"""`train` and `evaluate`: where the weights come from and what they are worth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from her2core.cli._shared import Progress, chosen_models, device_option, weights_option
from her2core.settings import load_settings

if TYPE_CHECKING:
    from her2core.training.fit_detector import DetectorProgress

__all__ = ["evaluate", "train"]

_MIXED = "mixed"
_data_argument = click.argument("truth_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
_out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for weights, card and training state.",
)
_resume_option = click.option("--resume", is_flag=True, help="Go on from the state that a killed training left in OUT.")
_seed_option = click.option("--seed", type=click.IntRange(0), help="Makes it repeatable.")
_float32_option = click.option(
    "--float32", is_flag=True, help="The network is to work in float32 everywhere, slower, not in 8 bits."
)
_steps_option = click.option("--steps", type=click.IntRange(1), help="Steps of the optimiser.")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others are left to the recipe of the training."""
    return {name: value for name, value in options.items() if value is not None}


@click.group()
def train() -> None:
    """Train a model on a folder with truth.json, as `render` writes it."""


_start_from_option = click.option(
    "--start-from",
    "--from",
    "start_from",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Weights (.safetensors) to go on from.",
)
_own_option = click.option(
    "--data",
    "own",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Fine-tune on these corrected cases (truth.json); TRUTH_DIR is then what must not be forgotten.",
)


def _folder_of(truth_dir: Path, own: Path | None, out: Path) -> Path:
    """What is trained on: TRUTH_DIR, or own cases with as many of its regions, put together in OUT meanwhile."""
    if own is None:
        return truth_dir
    from her2core.training.fine_tuning import mixed

    return mixed(own, truth_dir, out / _MIXED)


def _finished(weights: Path, own: Path | None, start_from: Path | None) -> Path:
    """The weights; fine-tuned ones are named after the model they come from, and the copies of cases are taken away."""
    if own is None or start_from is None:
        return weights
    from her2core.training.fine_tuning import mark_tuned

    shutil.rmtree(weights.parent / _MIXED, ignore_errors=True)
    return mark_tuned(weights, start_from)


def _needs_start(own: Path | None, start_from: Path | None) -> None:
    if own is not None and start_from is None:
        raise click.UsageError("--data goes on from a model: name it with --from.")


@train.command()
@_data_argument
@_out_option
@click.option("--width", type=click.FloatRange(0.05, 1.0), help="Width of the network; 1.0 is the paper's.")
@_steps_option
@click.option("--batch", type=click.IntRange(1), help="Views a step.")
@_seed_option
@_resume_option
@click.option(
    "--init", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="COCO weights (.npz); width 1.0 only."
)
@_start_from_option
@_own_option
@click.option("--time-limit", type=click.FloatRange(min=1), help="Stop after so many seconds of training.")
@device_option
def detector(
    truth_dir: Path,
    out: Path,
    width: float | None,
    steps: int | None,
    batch: int | None,
    seed: int | None,
    resume: bool,
    init: Path | None,
    start_from: Path | None,
    own: Path | None,
    time_limit: float | None,
    device: str | None,
) -> None:
    """Train stage 1 (YOLOv3) on TRUTH_DIR; the best weights by validation become OUT/detector.safetensors."""
    from her2core.training.fine_tuning import DETECTOR
    from her2core.training.fit_detector import fit_detector

    _needs_start(own, start_from)

    progress = Progress()

    def report(now: DetectorProgress) -> None:
        losses = f"loss {now.loss:.3f} (box {now.box:.3f}, objectness {now.objectness:.3f})"
        line = f"step {now.step}/{now.steps}: {losses}, {now.images_per_second:.1f} images/s"
        if now.average_precision is None:
            progress.show("training", line)
        else:
            progress.done(f"{line}, AP@0.75 {now.average_precision:.4f} (best {now.best or 0:.4f})")

    given = _given(
        width=width, steps=steps, batch=batch, seed=seed, init=init, start_from=start_from, time_limit_s=time_limit
    )
    weights = fit_detector(
        _folder_of(truth_dir, own, out),
        out,
        resume=resume,
        progress=report,
        device=device or load_settings().device,
        **((DETECTOR if own is not None else {}) | given),
    )
    click.echo(_finished(weights, own, start_from))


@train.command()
@_data_argument
@_out_option
@_steps_option
@click.option("--batch", type=click.IntRange(2), help="Nuclei a step.")
@_seed_option
@_resume_option
@_start_from_option
@_own_option
@device_option
def counter(
    truth_dir: Path,
    out: Path,
    steps: int | None,
    batch: int | None,
    seed: int | None,
    resume: bool,
    start_from: Path | None,
    own: Path | None,
    device: str | None,
) -> None:
    """Train stage 2 (ResNet-18) on TRUTH_DIR; the best weights by validation become OUT/counter.safetensors."""
    from her2core.models import pick_device
    from her2core.training.fine_tuning import COUNTER
    from her2core.training.fit_counter import CounterRecipe, fit_counter

    _needs_start(own, start_from)

    progress = Progress()

    def report(step: int, total: int, numbers: dict[str, float]) -> None:
        line = f"step {step}/{total}: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        if "total" in numbers:  # a training loss, as against a validation
            progress.show("training", line)
        else:
            progress.done(line)

    recipe = COUNTER if own is not None else CounterRecipe()
    weights = fit_counter(
        _folder_of(truth_dir, own, out),
        out / "counter.safetensors",
        replace(recipe, **_given(steps=steps, batch=batch, seed=seed)),
        start_from=start_from,
        resume=resume,
        device=pick_device(device or load_settings().device),
        progress=report,
    )
    click.echo(_finished(weights, own, start_from))


@train.command()
@_data_argument
@_out_option
@weights_option
@click.option("--unseen", is_flag=True, help="No training knows these regions: use all of them, not the held-out only.")
@_float32_option
def reading(truth_dir: Path, out: Path, weights: Path | None, unseen: bool, float32: bool) -> None:
    """Calibrate how stage 2's output is read on held-out nuclei of TRUTH_DIR: thresholds, clusters, doubts.

    The network's weights stay; OUT/counter.safetensors has them with a new card.
    """
    from her2core.training.fit_counter import read_anew

    source = chosen_models(load_settings(), weights) / "counter.safetensors"
    click.echo(read_anew(source, truth_dir, out / "counter.safetensors", unseen=unseen, float32=float32))


@train.command()
@_data_argument
@_out_option
@weights_option
@_float32_option
def scores(truth_dir: Path, out: Path, weights: Path | None, float32: bool) -> None:
    """Calibrate what stage 1's scores state, and in what ranges it works, on regions that no training knows.

    The network's weights stay; OUT/detector.safetensors has them with a new card.
    """
    from her2core.training.fit_detector import read_detector_anew

    source = chosen_models(load_settings(), weights) / "detector.safetensors"
    click.echo(read_detector_anew(source, truth_dir, out / "detector.safetensors", float32=float32))


@click.command()
@_data_argument
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the results.")
@device_option
@weights_option
@click.pass_context
def evaluate(ctx: click.Context, truth_dir: Path, out: Path, device: str | None, weights: Path | None) -> None:
    """Compare the models with the truth.json in TRUTH_DIR.

    OUT receives the numbers as JSON, the precision-recall curve and the confusion matrix of the groups.
    """
    from her2core import pipeline
    from her2core.training.evaluate import evaluate as evaluate_models

    settings = load_settings()
    models = pipeline.load_models(chosen_models(settings, weights), device or settings.device)
    progress = Progress()
    report = evaluate_models(
        truth_dir, out, models, progress=lambda done, total: progress.show("evaluating", f"{done}/{total}")
    )
    progress.done(f"{report['images']} images evaluated")
    detection = report["detection"]
    click.echo(
        f"detection: AP@0.5 {detection['AP@0.5']}, precision {detection['precision']}, recall {detection['recall']}"
    )
    groups = report.get("groups per image")
    if groups is not None:
        low, high = groups["accuracy_95"]
        click.echo(
            f"groups per image: accuracy {groups['accuracy']} (95 % interval {low} to {high}) of {groups['total']}"
        )
    for failure in report["failures"]:
        click.echo(f"{failure['image']}: FAILED: {failure['error']}", err=True)
    click.echo(out / "evaluation.json")
    if report["failures"]:
        ctx.exit(1)
