"""`worker`: analyses in a process of their own, beside the application."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click

from her2core.cli._shared import chosen_models, device_option, open_case_log, weights_option
from her2core.records import User
from her2core.settings import load_settings

__all__ = ["worker"]

_IDLE_S = 3.0
_NICE = 10  # pages that are looked at come first


@click.command()
@click.option("--until-idle", is_flag=True, help="End once nothing waits any more.")
@device_option
@weights_option
def worker(until_idle: bool, device: str | None, weights: Path | None) -> None:
    """Analyse what pathologists start in the application, until it is stopped (Ctrl-C or SIGTERM).

    While a worker runs, the application leaves all analyses to it; several may run. A job whose worker dies is taken up
    by another, or by the application, and no region is analysed twice.
    """
    from her2core import pipeline, workflow
    from her2core.jobs import WORKER, AnalysisJobs

    settings = load_settings()
    os.nice(_NICE)
    log = open_case_log(settings)

    def load() -> pipeline.Models:
        folder = weights or workflow.models_dir(log, settings.weights_dir)
        return pipeline.load_models(folder, device or settings.device, settings.counting)

    chosen_models(settings, weights)
    load()  # models that cannot be used are told now, not when a job fails

    def after(case_id: int, by: User) -> None:
        workflow.refresh_state(log, case_id, by)

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        with ExitStack() as at_the_end:
            # Before the worker's sign of life: whoever sees it may stop it.
            at_the_end.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, stop))
            jobs = AnalysisJobs(log, load, pipeline.analyse, after, kind=WORKER)
            at_the_end.callback(jobs.close)
            click.echo(f"Analysing for {settings.data_dir}; Ctrl-C stops after giving the running job back.", err=True)
            jobs.run_until_idle(_IDLE_S if until_idle else float("inf"))
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
