"""`serve`, `demo` and `seed`: the real laboratory, the demonstration, and one of many invented cases."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from her2core.cli._shared import Progress, has_case_log, is_demonstration, open_case_log
from her2core.errors import SettingsError
from her2core.settings import load_settings

__all__ = ["APP", "demo", "seed", "serve"]

APP = Path(__file__).resolve().parent.parent.parent / "app.py"
"""What Streamlit runs."""


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; put TLS in front of others.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
def serve(address: str, port: int) -> None:
    """Start the laboratory in the data folder. Needs an administrator: `user add` makes the first.

    No demonstration accounts: a folder that holds the demonstration laboratory is refused.
    """
    from her2core.accounts import Accounts

    settings = load_settings()
    if settings.demo or is_demonstration(settings.data_dir):
        raise SettingsError(
            f"{settings.data_dir} holds the demonstration laboratory, whose passwords everyone knows, or HER2CORE_DEMO "
            "is set. Unset HER2CORE_DEMO and set HER2CORE_DATA to another folder; `make run` starts the demonstration."
        )
    if not has_case_log(settings.data_dir) or not Accounts(open_case_log(settings)).administrators_exist():
        raise SettingsError(
            "This laboratory has no administrator yet. Make one first, then start again:\n"
            "  python -m her2core user add NAME --role administrator --name 'Full Name'"
        )
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    command += ["--server.address", address, "--server.port", str(port), "--server.headless", "true"]
    command += ["--browser.gatherUsageStats", "false"]
    click.echo(f"her2core is starting on http://{address}:{port} (stop it with Ctrl-C)", err=True)
    os.execve(sys.executable, command, dict(os.environ))  # noqa: S606 - our own interpreter, no shell


@click.command()
def demo() -> None:
    """Fill HER2CORE_DATA with the demonstration laboratory, signed reports included, unless it is there already."""
    from her2core import demo as demonstration

    settings = load_settings()
    progress = Progress()
    made = demonstration.fill(settings, lambda text: progress.show(text))
    progress.done(
        f"The demonstration laboratory is {'ready' if made else 'there already'}: {settings.data_dir.absolute()}"
    )
    click.echo("Accounts of the demonstration (never for patients):")
    for account in demonstration.ACCOUNTS:
        click.echo(f"  {account.username:<12} {account.password:<28} {account.role}, {account.full_name}")


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--cases", type=click.IntRange(1, 1_000_000), default=50_000, show_default=True, help="How many.")
@click.option("--seed", "number", type=click.IntRange(0), default=1, show_default=True, help="Makes it repeatable.")
@click.option("--steady", is_flag=True, help="Plant no drift, no bad probe lot and no weeks of FISH/IHC discordance.")
def seed(out: Path, cases: int, number: int, steady: bool) -> None:
    """Fill the new folder OUT with a laboratory of invented cases, to try the laboratory's figures on.

    The accounts are those of `demo`. The reports are no reports and not signed.
    """
    from her2core.laboratory.invented import Planted
    from her2core.laboratory.seeded import seed_laboratory

    progress = Progress()
    planted = Planted(drift=not steady, lot=not steady, discordance=not steady)
    seed_laboratory(
        out, cases, number, planted=planted, progress=lambda done, of: progress.show("inventing", f"{done}/{of} cases")
    )
    progress.done(f"{cases} invented cases are in {out.absolute()}")
    click.echo(f"HER2CORE_DEMO=1 HER2CORE_DATA={out} python -m streamlit run app.py")
