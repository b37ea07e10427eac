"""`validate`: are the models good enough on a laboratory's own cases?"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from her2core.cli._shared import (
    Progress,
    chosen_models,
    device_option,
    open_case_log,
    open_keyring,
    person_named,
    weights_option,
)
from her2core.settings import load_settings

__all__ = ["LIMITS_FILE", "validate"]

LIMITS_FILE = "acceptance.toml"
"""In the data folder: the limits of the laboratory, where no other file is named."""


@click.command()
@click.argument("truth_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for PDF, JSON and tables."
)
@click.option(
    "--limits", "limits_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Acceptance limits, a TOML file (default: acceptance.toml in the data folder).",
)  # fmt: skip
@click.option("--sign", "signer", help="Account of the pathologist who signs the PDF; asks for the password.")
@click.option("--password-stdin", is_flag=True, help="Read that password from the first line of standard input.")
@click.option("--name", default="", help="What the cases are called in the PDF (default: the name of their folder).")
@device_option
@weights_option
@click.pass_context
def validate(
    ctx: click.Context,
    truth_dir: Path,
    out: Path,
    limits_file: Path | None,
    signer: str | None,
    password_stdin: bool,
    name: str,
    device: str | None,
    weights: Path | None,
) -> None:
    """Judge the models by the annotated cases in TRUTH_DIR, against the limits that the laboratory sets.

    TRUTH_DIR holds truth.json (as `render` and `collect` write it), or annotations.json (COCO boxes) with
    counts.csv. Exit code 1 where a limit is not met or an image could not be read.
    """
    from her2core import pipeline
    from her2core.laboratory import pack
    from her2core.laboratory.validating import judge, made_with, read_cases, validation_document, write_results
    from her2core.laboratory.validation import Limits, Verdict, advice, overall, read_limits
    from her2core.models import write_atomically
    from her2core.reporting.signing import sign
    from her2core.training.annotated import ensure_truth

    settings = load_settings()
    at = datetime.now(UTC).replace(microsecond=0)
    own = settings.data_dir / LIMITS_FILE
    chosen = limits_file or (own if own.exists() else None)
    limits = Limits() if chosen is None else read_limits(chosen)
    log = keyring = person = None
    password = ""
    if signer is not None:
        log, keyring = open_case_log(settings), open_keyring(settings)
        person = person_named(log, signer)
        if password_stdin:
            password = sys.stdin.readline().rstrip("\r\n")
        else:
            password = click.prompt(f"Password of {signer}", hide_input=True, err=True)
        keyring.unlock(person, password, at)  # a wrong password is told before minutes of work
    weights_dir = chosen_models(settings, weights)
    models = pipeline.load_models(weights_dir, device or settings.device, settings.counting)
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix="her2core-truth-") as scratch:
        folder = ensure_truth(truth_dir, Path(scratch))
        run = read_cases(folder, models, lambda done, total: progress.show("reading", f"{done}/{total}"))
        made = made_with(folder, weights_dir, settings.counting, at, name or truth_dir.resolve().name)
    progress.done(f"{len(run.reads)} images read")
    v = judge(run.reads, limits)
    digest = write_results(out, validation_document(v, made, limits, run), v)
    who = None if person is None else pack.Signer(person.full_name, person.credentials, person.role.value)
    pdf = pack.pack_pdf(v, made, run, settings.laboratory_name, digest, who)
    if person is not None and keyring is not None and log is not None:
        pdf = sign(pdf, keyring, person, password, pack.MEANING, at)
        from her2core.workflow.validations import note_validation

        note_validation(log, person, pdf, digest, overall(v.criteria).value)
    write_atomically(out / "validation.pdf", pdf)
    for c in v.criteria:
        click.echo(f"{c.what}: {c.verdict.value}")
    for text in advice(v.criteria):
        click.echo(f"  {text}")
    for image, error in run.failures:
        click.echo(f"{image}: FAILED: {error}", err=True)
    click.echo(out / "validation.pdf")
    if run.failures or overall(v.criteria) is Verdict.MISSED:
        ctx.exit(1)
