"""`verify`, `check`, `backup`, `restore` and `export`: the records of the laboratory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.cli._shared import has_case_log, open_case_log, open_keyring
from her2core.errors import Her2CoreError
from her2core.settings import Settings, load_settings

if TYPE_CHECKING:
    from her2core.caselog import CaseLog, Finding
    from her2core.workflow import Outgoing

__all__ = ["archive", "backup", "check", "export", "restore", "verify"]


@click.command()
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT.pdf")
@click.option("--json", "as_json", is_flag=True, help="Write the verdict as JSON.")
@click.pass_context
def verify(ctx: click.Context, report: Path, as_json: bool) -> None:
    """Tell whether REPORT.pdf is an intact report of this laboratory; exit code 0 only if it is."""
    from her2core import workflow

    settings = load_settings()
    log = open_case_log(settings)
    verdict = workflow.verify(log, open_keyring(settings), report.read_bytes())
    if as_json:
        signatures = [
            {
                "signer": found.signer,
                "meaning": found.meaning,
                "signed_at": None if found.signed_at is None else found.signed_at.isoformat(),
                "time_stamped": found.time_stamped,
            }
            for found in verdict.signatures
        ]
        verdict_json = {
            "ok": verdict.ok,
            "findings": list(verdict.findings),
            "notes": list(verdict.notes),
            "sha256": verdict.sha256,
            "signatures": signatures,
        }
        click.echo(json.dumps(verdict_json, indent=1, ensure_ascii=False))
    else:
        click.echo(
            "VALID: an intact report of this laboratory." if verdict.ok else "NOT VALID: do not rely on this file."
        )
        for finding in verdict.findings:
            click.echo(f"  {finding}")
        for found in verdict.signatures:
            when = "at an unknown time" if found.signed_at is None else f"on {found.signed_at:%d %b %Y %H:%M %Z}"
            click.echo(f"  signed by {found.signer} {when}: {found.meaning}")
        for note in verdict.notes:
            click.echo(f"  note: {note}")
        click.echo(f"  SHA-256 {verdict.sha256}")
    if not verdict.ok:
        ctx.exit(1)


@click.command()
@click.option("--head", "heads", multiple=True, metavar="SHA256", help="A head of the trail that was kept elsewhere.")
@click.pass_context
def check(ctx: click.Context, heads: tuple[str, ...]) -> None:
    """Check the case log: database, audit chain, images, reports and their signatures.

    Exit code 1 if anything is wrong; each line then names the record. The last line is the head of the audit trail: who
    keeps it elsewhere can ask with --head later whether any row before it was removed or changed. Backups and reports
    name heads too.
    """
    settings = load_settings()
    findings, head = _findings(settings, heads)
    for finding in findings:
        click.echo(f"{finding.record}: {finding.problem}")
    if findings:
        click.echo(f"{len(findings)} problem{'s' if len(findings) > 1 else ''} found. Keep the data folder as it is.")
        ctx.exit(1)
    click.echo("The case log is sound: database, audit trail, images, reports and signatures are as recorded.")
    click.echo(f"Head of the audit trail: {head}")


def _findings(settings: Settings, heads: tuple[str, ...]) -> tuple[list[Finding], str]:
    """What is wrong with the case log, a damaged one too, with the signing keys, and the signatures of reports; and the
    head of the audit trail that was checked."""
    from her2core.caselog import CaseLog, Finding
    from her2core.workflow.administration import all_findings

    if not has_case_log(settings.data_dir):
        open_case_log(settings)  # says what to do
    findings: list[Finding] = []
    head = ""
    log = CaseLog(settings.data_dir)
    try:
        log.open()
    except Her2CoreError as error:
        findings.append(Finding("case log", str(error)))
    try:
        head = log.audit_head()
        findings += all_findings(log, open_keyring(settings), (*heads, head))
    except Her2CoreError as error:
        findings.append(Finding("audit trail", f"it cannot be read: {error}"))
    finally:
        log.close()
    return findings, head


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.pass_context
def backup(ctx: click.Context, out: Path) -> None:
    """Write the case log, images, reports, keys and settings to the new file OUT, while others go on working.

    If OUT is a folder, a file with the date in its name is made there. The file holds patient data and the
    (encrypted) signing keys: keep it accordingly.
    """
    summary = open_case_log(load_settings()).backup(out)
    click.echo(f"{summary.path}: {summary.images} images, {summary.reports} reports, {summary.size_bytes:,} bytes")
    click.echo(f"Head of the audit trail: {summary.audit_head}")
    for finding in summary.findings:
        click.echo(f"{finding.record} {finding.problem}", err=True)
    if summary.findings:
        ctx.exit(1)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--even-if-damaged", is_flag=True, help="Restore what there is, although check finds something wrong.")
@click.pass_context
def restore(ctx: click.Context, file: Path, even_if_damaged: bool) -> None:
    """Put the backup FILE into HER2CORE_DATA, a new or empty folder, once it has proved to be sound."""
    from her2core.caselog import CaseLog

    settings = load_settings()
    findings = CaseLog.restore(file, settings.data_dir, even_if_damaged=even_if_damaged)
    for finding in findings:
        click.echo(f"{finding.record}: {finding.problem}")
    click.echo(f"restored to {settings.data_dir.absolute()}")
    if findings:
        ctx.exit(1)


@click.command()
@click.argument("cases", nargs=-1, metavar="CASE...")
@click.option("--all", "every_case", is_flag=True, help="All cases of the log; with fhir and hl7 all signed ones.")
@click.option("--format", "file_format", type=click.Choice(["csv", "fhir", "hl7"]), default="csv", show_default=True)
@click.option("--nuclei", is_flag=True, help="csv: a line a nucleus, instead of a line a population.")
@click.option("--preliminary", is_flag=True, help="fhir, hl7: unsigned cases with confirmed counts too.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file (default: stdout).")
def export(
    cases: tuple[str, ...], every_case: bool, file_format: str, nuclei: bool, preliminary: bool, out: Path | None
) -> None:
    """Export cases, named by their accession numbers. What is exported holds patient data."""
    if bool(cases) == every_case:
        raise click.UsageError("Name the cases by their accession numbers, or give --all.")
    if nuclei and file_format != "csv":
        raise click.UsageError("--nuclei goes with --format csv only.")
    if preliminary and file_format == "csv":
        raise click.UsageError("--preliminary goes with --format fhir or hl7.")
    from her2core import workflow

    if out is not None:
        workflow.check_free(out)
    settings = load_settings()
    log = open_case_log(settings)
    ids = list(log.look_up_ids()) if every_case else [log.case_by_accession(accession).id for accession in cases]
    if file_format == "csv":
        outgoing = workflow.csv_of(log, ids, None, nuclei=nuclei)
    else:
        if every_case:
            ids = [i for i in ids if workflow.can_be_released(log, i, preliminary=preliminary)]
        outgoing = _reports(log, settings, ids, file_format, preliminary=preliminary)
    if out is None:
        click.echo(outgoing.handed_out(log), nl=False)
    else:
        outgoing.write(log, out)
        click.echo(f"{out}: {len(ids)} cases", err=True)


@click.command()
@click.argument("cases", nargs=-1, metavar="CASE...")
@click.option("--past-retention", is_flag=True, help="The cases that the laboratory need not keep any longer.")
@click.option("--deidentified", is_flag=True, help="Without names, dates, free text, reports and audit trail.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True, help="A folder that exists."
)
def archive(cases: tuple[str, ...], past_retention: bool, deidentified: bool, out: Path) -> None:
    """Write whole cases, named by their accession numbers, to one file each. Nothing is deleted."""
    from her2core import workflow

    if bool(cases) == past_retention:
        raise click.UsageError("Name the cases by their accession numbers, or give --past-retention.")
    settings = load_settings()
    log = open_case_log(settings)
    if past_retention:
        ids = workflow.past_retention(log, settings.retention_years)
    else:
        ids = [log.case_by_accession(accession).id for accession in cases]
    if not deidentified:  # else the names are drawn as the files are made
        workflow.check_free(*(out / workflow.archive_name(case_id) for case_id in ids))
    for case_id in ids:
        outgoing = workflow.archive_of(log, case_id, None, deidentified=deidentified)
        outgoing.write(log, out / outgoing.name)
        click.echo(str(out / outgoing.name))
    click.echo(f"{len(ids)} case{'' if len(ids) == 1 else 's'} written", err=True)


def _reports(log: CaseLog, settings: Settings, ids: list[int], file_format: str, *, preliminary: bool) -> Outgoing:
    """FHIR bundles, a line each, or HL7 messages one after the other."""
    from her2core import workflow

    wanted, laboratory = workflow.Format(file_format), workflow.laboratory_of(settings)
    end = b"\n" if wanted is workflow.Format.FHIR else b""
    reports = [
        workflow.report_of(log, case_id, wanted, laboratory, None, preliminary=preliminary, demonstration=settings.demo)
        for case_id in ids
    ]
    return workflow.Outgoing.together(reports, end)
