"""The command line, `python -m her2core …`: the stable contract of architecture.md.

Results go to stdout, progress and messages to stderr. Exit code 0: done; 1: something failed, and the message says
what to do; 2: the command was given wrongly. Rooms are imported inside the commands, so that `--help`, `user` and
`check` do not wait for torch.
"""

from __future__ import annotations

import errno
from typing import Any

import click

from her2core import __version__
from her2core.cli.accounts import user
from her2core.cli.batch import batch
from her2core.cli.images import analyze, render
from her2core.cli.laboratory import demo, seed, serve
from her2core.cli.learning import collect, model
from her2core.cli.records import archive, backup, check, export, restore, verify
from her2core.cli.training import evaluate, train
from her2core.cli.validation import validate
from her2core.cli.worker import worker
from her2core.errors import Her2CoreError

__all__ = ["main"]


class _Main(click.Group):
    """Shows the expected failures as a sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Her2CoreError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            name = f" ({error.filename})" if error.filename else ""
            raise click.ClickException(f"{error.strerror or type(error).__name__}{name}.") from error


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="her2core")
def main() -> None:
    """HER2 FISH from region image to signed report. Research use; not a cleared medical device."""


for command in (
    analyze,
    batch,
    render,
    train,
    evaluate,
    validate,
    collect,
    model,
    verify,
    check,
    backup,
    restore,
    export,
    archive,
    user,
    serve,
    worker,
    demo,
    seed,
):
    main.add_command(command)
