"""What several commands share: progress on stderr, the data folder, options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.errors import NotFoundError
from her2core.settings import DEVICES, Settings, load_settings

if TYPE_CHECKING:
    from her2core.caselog import CaseLog
    from her2core.records import User
    from her2core.reporting.keys import Keyring

__all__ = [
    "Progress",
    "chosen_models",
    "device_option",
    "has_case_log",
    "is_demonstration",
    "open_case_log",
    "open_keyring",
    "person_named",
    "weights_option",
]

device_option = click.option(
    "--device", type=click.Choice(DEVICES), help="Where the models run (default: the setting)."
)
weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Folder of models (default: those in use in the case log of HER2CORE_DATA; without one, the setting).",
)


class Progress:
    """One line on stderr: rewritten in a terminal, written once a label elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._label = ""

    def show(self, label: str, rest: str = "") -> None:
        """Say what is done now; `rest` is what changes while the label stays."""
        if self._terminal:
            click.echo(f"\r\x1b[K{label} {rest}".rstrip(), err=True, nl=False)
        elif label != self._label:
            click.echo(label, err=True)
        self._label = label

    def done(self, text: str) -> None:
        """Close the line with `text`."""
        click.echo(f"\r\x1b[K{text}" if self._terminal else text, err=True)
        self._label = ""


def has_case_log(data_dir: Path) -> bool:
    """Whether the folder holds a case log."""
    return (data_dir / "caselog.sqlite").exists()


def is_demonstration(data_dir: Path) -> bool:
    """Whether the settings file in the folder says so, whatever the environment says."""
    return load_settings({"HER2CORE_DATA": str(data_dir)}).demo


def open_case_log(settings: Settings, *, create: bool = False) -> CaseLog:
    """The opened case log. Without `create` a folder that holds none is refused, so that a mistyped path shows."""
    from her2core.caselog import CaseLog

    if not create and not has_case_log(settings.data_dir):
        raise NotFoundError(
            f"There is no case log in {settings.data_dir}. Set HER2CORE_DATA to the data folder of the laboratory; "
            "a new laboratory begins with `user add`."
        )
    log = CaseLog(settings.data_dir).open()
    click.get_current_context().call_on_close(log.close)
    return log


def chosen_models(settings: Settings, named: Path | None) -> Path:
    """The folder of the models that a command uses; says on stderr why these, and exactly which they are.

    `named` where the user named one; else those that count in the laboratory's case log; else those of the settings.
    Raises ModelError where there is no card, CaseLogError where there is a case log that cannot be read.
    """
    from her2core import workflow
    from her2core.models import cards_of

    folder, why = settings.weights_dir, f"those of the settings; no case log in {settings.data_dir} says otherwise"
    if named is not None:
        folder, why = named, "named by --weights"
    elif has_case_log(settings.data_dir):
        promoted = workflow.models_dir(open_case_log(settings), settings.weights_dir)
        why = f"in use in the laboratory in {settings.data_dir}, which has promoted none of its own"
        if promoted != folder:
            folder, why = promoted, f"promoted in the laboratory in {settings.data_dir}"
    cards = cards_of(folder)
    click.echo(f"Models: {why} ({folder})", err=True)
    for stage, card in cards.items():
        click.echo(f"  {stage}: {card['name']} {card['version']}, SHA-256 {card['sha256']}", err=True)
    return folder


def open_keyring(settings: Settings) -> Keyring:
    """The signing keys of the laboratory."""
    from her2core.reporting.keys import Keyring

    return Keyring(settings.data_dir, settings.ca_passphrase)


def person_named(log: CaseLog, username: str) -> User:
    """The account of that name. Raises NotFoundError."""
    person = log.user_by_name(username)
    if person is None:
        raise NotFoundError(f"There is no account {username}; `user list` shows all.")
    return person
