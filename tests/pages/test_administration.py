"""The administration page: accounts and keys, check and backup; and that it shows no patient."""

from __future__ import annotations

import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.caselog import AuditEntry, CaseLog
from her2core.errors import CaseLogError, PermissionDeniedError, SignInError, SigningError
from her2core.records import Role, User
from her2core.settings import load_settings
from her2core.workflow import Format, administration
from her2core.workflow.accounts import as_of
from tests.pages.lab import CA_PASSPHRASE, PASSWORDS, POSITIVE, TestLaboratory, release

ROOT = Path(__file__).resolve().parent.parent.parent
VIEWS = ("Accounts", "Signing keys", "Laboratory", "Check and backup", "Audit trail")
NEW = "quite new secret 17"
BACKUPS = ("backed up", "backup taken")  # 0.1 noted both for one backup


def page(lab: TestLaboratory, name: str | None = "nair", script: str = "app.py") -> AppTest:
    """The application as an administrator has it after sign-in; or one page file alone."""
    at = AppTest.from_file(str(ROOT / script), default_timeout=30)
    if name is not None:
        at.session_state["her2core_user_id"] = lab.person(name).id
        at.session_state["her2core_password_since"] = lab.accounts.password_since(name)
        at.session_state["her2core_last_seen"] = time.monotonic()
    return at.run()


def shown(at: AppTest) -> str:
    """All text on the page, and the labels of its buttons."""
    assert not at.exception
    elements: list[Any] = [*at.markdown, *at.caption, *at.error, *at.info, *at.success, *at.warning, *at.code]
    texts = [str(element.value) for element in [*elements, *at.toast]]
    labels = [str(element.label) for element in [*at.button, *at.download_button, *at.text_input, *at.selectbox]]
    return "\n".join([*texts, *labels, *(str(element.proto.body) for element in at.get("html"))]).replace("\\", "")


def view(at: AppTest, name: str) -> AppTest:
    return at.segmented_control(key="administration_view").set_value(name).run()


def manage(lab: TestLaboratory, name: str) -> AppTest:
    return page(lab).button(key=f"manage_{lab.person(name).id}").click().run()


def add(at: AppTest, role: Role, password: str = NEW, username: str = "new") -> AppTest:
    at.text_input(key="add_username").set_value(username)
    at.text_input(key="add_full_name").set_value("Nora Neumann")
    at.selectbox(key="add_role").set_value(role)
    at.text_input(key="add_password").set_value(password)
    return at.button(key="add_save").click().run()


def account(lab: TestLaboratory, username: str) -> User:
    user = lab.log.user_by_name(username)
    assert user is not None
    return user


def noted(lab: TestLaboratory, action: str) -> list[Any]:
    """What the administrator did, latest first; the laboratory itself was made at the command line."""
    nair = lab.person("nair")
    return [entry for entry in lab.log.audit(limit=100, actions=(action,)) if entry.by_user_id == nair.id]


# --- who sees what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "berg", "lind"])
def test_nothing_is_shown_without_an_administrators_session(lab: TestLaboratory, name: str | None) -> None:
    at = page(lab, name, "pages/administration.py")
    assert list(at.main)[1:] == []  # the block itself comes first


def test_no_view_shows_a_patient_or_a_result(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(POSITIVE))
    lab.open_case("S26-002")
    at = page(lab)
    for name in VIEWS:
        text = shown(view(at, name))
        if name == "Check and backup":
            text += shown(at.button(key="check_log").click().run())
        for secret in ("Erika", "MRN-77", "S26-00", "positive", "Group 1", "counts viewed", "Signed the final"):
            assert secret not in text, (name, secret)


def test_all_accounts_are_listed_with_role_and_key(lab: TestLaboratory) -> None:
    text = shown(page(lab))
    for name in ("Miriam Berg", "Samuel Okafor", "Jonas Lind", "Priya Nair"):
        assert name in text
    assert text.count("until ") == 2
    lab.keyring.revoke(lab.person("berg"), "lost")
    assert "none: cannot sign" in shown(page(lab))


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_adding_a_pathologist_makes_account_and_key(lab: TestLaboratory) -> None:
    at = add(page(lab), Role.PATHOLOGIST)
    assert "Account of Nora Neumann added" in shown(at)
    user = account(lab, "new")
    assert user.role is Role.PATHOLOGIST
    assert lab.accounts.must_change_password(user)
    lab.keyring.unlock(user, NEW)
    assert lab.accounts.sign_in("new", NEW) == user
    assert [entry.detail["user_id"] for entry in noted(lab, "signing key issued")] == [user.id]
    assert at.text_input(key="add_username").value == ""
    assert at.text_input(key="add_password").value == ""


def test_adding_a_lab_manager_makes_no_key(lab: TestLaboratory) -> None:
    add(page(lab), Role.LAB_MANAGER)
    assert not lab.keyring.has_key(account(lab, "new"))
    assert noted(lab, "signing key issued") == []


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("new", "short", "Choose a longer password"),
        ("berg", NEW, "This user name is taken"),
        ("BERG ", NEW, "This user name is taken"),
        ("", NEW, "Please fill in: user name"),
    ],
)
def test_an_account_that_cannot_be_is_refused_in_words(
    lab: TestLaboratory, username: str, password: str, said: str
) -> None:
    at = add(page(lab), Role.PATHOLOGIST, password, username)
    assert said in shown(at)
    assert len(lab.log.users()) == 4
    assert at.text_input(key="add_full_name").value == "Nora Neumann"  # nothing has to be typed again


def test_the_passphrase_is_asked_for_where_the_environment_lacks_it(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Passphrase of the laboratory's root key" not in shown(page(lab))
    monkeypatch.delenv("HER2CORE_CA_PASSPHRASE")
    at = page(lab)
    at.text_input(key="add_passphrase").set_value(CA_PASSPHRASE)
    add(at, Role.PATHOLOGIST)
    lab.keyring.unlock(account(lab, "new"), NEW)


@pytest.mark.parametrize("passphrase", ["", "a wrong passphrase"])
def test_without_the_passphrase_the_account_is_there_and_the_missing_key_is_said(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch, passphrase: str
) -> None:
    monkeypatch.delenv("HER2CORE_CA_PASSPHRASE")
    at = page(lab)
    at.text_input(key="add_passphrase").set_value(passphrase)
    assert "cannot sign yet" in shown(add(at, Role.PATHOLOGIST))
    assert not lab.keyring.has_key(account(lab, "new"))
    assert noted(lab, "signing key issued") == []


def test_deactivating_signs_out_and_reactivating_lets_in_again(lab: TestLaboratory) -> None:
    at = manage(lab, "lind")
    at.button(key="manage_disable").click().run()
    assert not lab.person("lind").active
    assert "deactivated" in shown(at)
    with pytest.raises(SignInError):
        lab.accounts.sign_in("lind", PASSWORDS["lind"])
    at.button(key="manage_enable").click().run()
    assert lab.person("lind").active


def test_an_administrator_does_not_deactivate_the_own_account(lab: TestLaboratory) -> None:
    assert manage(lab, "nair").button(key="manage_disable").disabled


def test_a_pause_after_wrong_passwords_is_ended(lab: TestLaboratory) -> None:
    for _ in range(7):
        with pytest.raises(SignInError):
            lab.accounts.sign_in("lind", "wrong wrong wrong")
    with pytest.raises(SignInError, match="Too many"):
        lab.accounts.sign_in("lind", PASSWORDS["lind"])
    manage(lab, "lind").button(key="manage_unlock").click().run()
    lab.accounts.sign_in("lind", PASSWORDS["lind"])


def test_a_reset_password_replaces_the_key_of_a_pathologist(lab: TestLaboratory) -> None:
    berg = lab.person("berg")
    before = lab.keyring.key_of(berg)
    at = manage(lab, "berg")
    assert "it is revoked, and a new one is made" in shown(at)
    at.text_input(key="manage_password").set_value(NEW)
    at.button(key="manage_reset").click().run()
    assert "Password of Miriam Berg reset" in shown(at)
    assert lab.accounts.must_change_password(berg)
    lab.accounts.sign_in("berg", NEW)
    with pytest.raises(SignInError):
        lab.accounts.sign_in("berg", PASSWORDS["berg"])
    after = lab.keyring.key_of(berg)
    assert before is not None
    assert after is not None
    assert after.serial != before.serial
    lab.keyring.unlock(berg, NEW)
    assert len(noted(lab, "signing key issued")) == 1


def test_without_the_passphrase_of_the_root_key_no_password_of_a_pathologist_is_reset(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HER2CORE_CA_PASSPHRASE")
    at = manage(lab, "berg")
    at.text_input(key="manage_password").set_value(NEW)
    at.button(key="manage_reset").click().run()
    assert "the password stays as it was" in shown(at)
    lab.accounts.sign_in("berg", PASSWORDS["berg"])
    lab.keyring.unlock(lab.person("berg"), PASSWORDS["berg"])


def test_a_weak_new_password_changes_nothing(lab: TestLaboratory) -> None:
    at = manage(lab, "berg")
    at.text_input(key="manage_password").set_value("short")
    at.button(key="manage_reset").click().run()
    assert "Choose a longer password" in shown(at)
    lab.accounts.sign_in("berg", PASSWORDS["berg"])
    lab.keyring.unlock(lab.person("berg"), PASSWORDS["berg"])


def test_a_new_key_needs_the_password_of_its_owner(lab: TestLaboratory) -> None:
    berg = lab.person("berg")
    at = manage(lab, "berg")
    at.text_input(key="key_password").set_value("not the password")
    at.button(key="key_issue").click().run()
    assert "This is not the password that" in shown(at)
    assert len(lab.keyring.records()) == 2
    at.text_input(key="key_password").set_value(PASSWORDS["berg"])
    at.button(key="key_issue").click().run()
    assert "Signing key of Miriam Berg made" in shown(at)
    assert len(lab.keyring.records()) == 3
    lab.keyring.unlock(berg, PASSWORDS["berg"])


def test_revoking_a_key_needs_a_reason_and_is_shown(lab: TestLaboratory) -> None:
    at = manage(lab, "berg")
    at.button(key="revoke_now").click().run()
    assert "Say why the key is revoked" in shown(at)
    at.text_input(key="revoke_reason").set_value("laptop stolen")
    at.button(key="revoke_now").click().run()
    assert not lab.keyring.has_key(lab.person("berg"))
    assert "laptop stolen" in shown(view(at, "Signing keys"))
    assert "Revoked the signing key of Miriam Berg" in shown(view(at, "Audit trail"))


def test_the_trail_tells_of_a_clock_that_was_set_back(lab: TestLaboratory) -> None:
    lab.log.now = lambda: datetime.now(UTC) - timedelta(hours=30)
    lab.log.note("case log checked", lab.person("nair"))
    assert "after the clock of the machine was set back: from " in shown(view(page(lab), "Audit trail"))


def test_the_audit_trail_is_of_accounts_only(lab: TestLaboratory) -> None:
    lab.open_case()
    add(page(lab), Role.LAB_MANAGER)
    text = shown(view(page(lab), "Audit trail"))
    assert "Added the account new, lab manager" in text
    assert "intake" not in text


def test_the_laboratory_says_where_each_setting_comes_from(
    lab: TestLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HER2CORE_LABORATORY_ADDRESS", "1 <b>Street</b>")
    text = shown(view(page(lab), "Laboratory"))
    assert "Laboratory of the tests</td><td>file or default" in text
    assert "1 &lt;b&gt;Street&lt;/b&gt;</td><td>environment" in text
    assert CA_PASSPHRASE not in text


# --- check and backup -------------------------------------------------------------------------------------------------


def test_a_sound_case_log_is_said_to_be_sound(lab: TestLaboratory) -> None:
    lab.sign(lab.ready(POSITIVE))
    at = view(page(lab), "Check and backup")
    at.button(key="check_log").click().run()
    assert "The case log is sound" in shown(at)
    assert noted(lab, "case log checked")[0].by_username == "nair"
    kept = at.code[0].value
    assert kept == lab.log.audit(limit=2)[1].hash
    at.text_input(key="check_head").set_value(kept).run()
    at.button(key="check_log").click().run()
    assert "The case log is sound" in shown(at)
    at.text_input(key="check_head").set_value("ab" * 32).run()
    at.button(key="check_log").click().run()
    assert "it does not hold the head" in shown(at)


def test_damage_is_found_in_reports_images_signatures_and_keys(lab: TestLaboratory) -> None:
    report = lab.sign(lab.ready(POSITIVE))
    image = lab.log.images.path(lab.log.regions(report.case_id)[0].image_sha256)
    image.unlink()
    pdf = lab.log.pdfs.path(report.sha256)
    pdf.chmod(0o600)
    pdf.write_bytes(pdf.read_bytes() + b" ")
    key = next((lab.data_dir / "keys").glob("user-*.p12"))
    key.chmod(0o644)
    at = view(page(lab), "Check and backup")
    at.button(key="check_log").click().run()
    text = shown(at)
    assert "3 problems found" in text
    assert "can be read by other users of this machine" in text


def test_a_report_that_no_key_of_the_laboratory_signed_is_found(lab: TestLaboratory) -> None:
    case = lab.ready(POSITIVE)
    berg = lab.person("berg")
    unsigned = workflow.preview(lab.log, case.id, workflow.laboratory_of(load_settings()), berg)
    lab.log.store_report(case.id, unsigned, "final", version=case.version, by=berg, summary={})
    findings = administration.check_all(lab.log, lab.keyring, lab.person("nair"))
    assert [(finding.record, finding.problem) for finding in findings] == [
        ("signature of report 1", "The file carries no signature.")
    ]


def test_a_backup_is_written_to_a_folder_and_can_be_restored(lab: TestLaboratory, tmp_path: Path) -> None:
    lab.open_case()
    (tmp_path / "backups").mkdir()
    at = view(page(lab), "Check and backup")
    at.text_input(key="backup_to").set_value(str(tmp_path / "backups"))
    at.button(key="backup_write").click().run()
    assert "0 images, 0 reports" in shown(at)
    (archive,) = (tmp_path / "backups").iterdir()
    assert CaseLog.restore(archive, tmp_path / "restored") == []
    (entry,) = lab.log.audit(actions=BACKUPS)
    assert (entry.by_username, entry.detail["to"], entry.detail["findings"]) == ("nair", "folder", 0)
    assert len(entry.detail["audit_head"]) == 64


@pytest.mark.parametrize("folder", ["", "backups", "../backups", "/nowhere/at/all", "DATA", "DATA/keys", "a\0b"])
def test_a_backup_goes_only_to_an_existing_folder_outside_the_data(lab: TestLaboratory, folder: str) -> None:
    place = folder.replace("DATA", str(lab.data_dir))
    with pytest.raises(CaseLogError, match=r"Give the whole path|outside the data folder"):
        administration.back_up_to(lab.log, place, lab.person("nair"))
    assert lab.log.audit(actions=BACKUPS) == []


def test_a_downloaded_backup_is_whole_and_leaves_nothing_behind(
    lab: TestLaboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in lab.data_dir.iterdir())
    data = administration.backup_bytes(lab.log, lab.person("nair"))
    assert sorted(path.name for path in lab.data_dir.iterdir()) == before
    (tmp_path / "backup.tar").write_bytes(data)
    with tarfile.open(tmp_path / "backup.tar") as tar:
        assert "caselog.sqlite" in tar.getnames()
    assert CaseLog.restore(tmp_path / "backup.tar", tmp_path / "restored") == []
    (entry,) = lab.log.audit(actions=BACKUPS)
    assert (entry.by_username, entry.detail["to"]) == ("nair", "download")
    monkeypatch.setattr(administration, "LARGEST_DOWNLOAD", 10)
    with pytest.raises(CaseLogError, match="too large"):
        administration.backup_bytes(lab.log, lab.person("nair"))
    at = view(page(lab), "Check and backup")
    assert not at.exception
    assert at.download_button(key="backup_get").proto.disabled


def test_only_who_may_does_it(lab: TestLaboratory, tmp_path: Path) -> None:
    for name in ("berg", "lind"):
        with pytest.raises(PermissionDeniedError):
            administration.back_up_to(lab.log, str(tmp_path), lab.person(name))
        with pytest.raises(PermissionDeniedError):
            administration.backup_bytes(lab.log, lab.person(name))
        with pytest.raises(PermissionDeniedError):
            administration.revoke_keys(lab.log, lab.keyring, lab.person("okafor"), "no reason", lab.person(name))
    with pytest.raises(PermissionDeniedError):
        administration.check_all(lab.log, lab.keyring, lab.person("berg"))
    lab.keyring.unlock(lab.person("okafor"), PASSWORDS["okafor"])


def test_revoking_without_the_passphrase_is_refused(lab: TestLaboratory) -> None:
    from her2core.reporting.keys import Keyring

    with pytest.raises(SigningError):
        administration.revoke_keys(lab.log, Keyring(lab.data_dir), lab.person("berg"), "lost", lab.person("nair"))
    assert noted(lab, "signing key revoked") == []


# --- names ------------------------------------------------------------------------------------------------------------


def _rename(at: AppTest, person: User, name: str, credentials: str) -> AppTest:
    key = f"rename_{person.id}_{person.full_name}_{person.credentials}"
    at.text_input(key=f"{key}_name").set_value(name)
    at.text_input(key=f"{key}_credentials").set_value(credentials)
    return at.button(key="rename_save").click().run()


def test_a_name_and_credentials_are_changed_and_both_are_in_the_trail(lab: TestLaboratory) -> None:
    berg = lab.person("berg")
    at = _rename(manage(lab, "berg"), berg, "Miriam Berg-Lund", "MD, PhD")
    assert "Miriam Berg-Lund" in shown(at)
    assert (account(lab, "berg").full_name, account(lab, "berg").credentials) == ("Miriam Berg-Lund", "MD, PhD")
    (entry,) = noted(lab, "account changed")
    assert entry.detail["changed"] == {
        "full_name": ["Miriam Berg", "Miriam Berg-Lund"],
        "credentials": ["MD", "MD, PhD"],
    }
    at = view(at, "Audit trail")
    assert "Miriam Berg-Lund" in shown(at)


@pytest.mark.parametrize(("name", "said"), [("  ", "full name"), ("ཀ", "cannot print this script")])
def test_a_name_that_no_report_could_carry_is_refused(lab: TestLaboratory, name: str, said: str) -> None:
    berg = lab.person("berg")
    at = _rename(manage(lab, "berg"), berg, name, "MD")
    assert said in shown(at)
    assert account(lab, "berg") == berg
    assert noted(lab, "account changed") == []


def test_only_an_administrator_changes_names(lab: TestLaboratory) -> None:
    for name in ("berg", "lind"):
        with pytest.raises(PermissionDeniedError):
            workflow.rename(lab.accounts, lab.person("berg"), "Else", "", lab.person(name))


def test_reports_keep_the_name_that_they_were_signed_with(lab: TestLaboratory) -> None:
    first = lab.sign(lab.ready(POSITIVE, "S26-1"))
    time.sleep(1)  # signatures have whole seconds
    berg = workflow.rename(lab.accounts, lab.person("berg"), "Miriam Berg-Lund", "MD, PhD", lab.person("nair"))
    time.sleep(1)
    second = lab.sign(lab.ready([*POSITIVE, (6, 2)], "S26-2"))
    assert [u.full_name for u in workflow.signers_of(lab.log, first)] == ["Miriam Berg"]
    assert [u.full_name for u in workflow.signers_of(lab.log, second)] == ["Miriam Berg-Lund"]
    for report in (first, second):
        assert workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(report.id)).ok
    laboratory = workflow.laboratory_of(load_settings())
    of_first, of_second = (release(lab.log, report.case_id, Format.HL7, laboratory, berg) for report in (first, second))
    assert "Berg-Lund" not in of_first
    assert "Berg-Lund" in of_second
    csv_text = workflow.csv_of(lab.log, [first.case_id, second.case_id], None).data.decode().splitlines()
    assert ["Berg-Lund" in line for line in csv_text[1:]] == [False, True]


def test_an_account_is_told_as_it_was_at_a_moment() -> None:
    at = [datetime(2026, 3, day, tzinfo=UTC) for day in range(1, 6)]
    now = User(7, "berg", "C", "PhD", Role.PATHOLOGIST)

    def changed(index: int, user_id: int, changes: dict[str, list[str]]) -> AuditEntry:
        detail = {"user_id": user_id, "changed": changes}
        return AuditEntry(index, at[index], 1, "nair", "account changed", None, detail, {}, "", "")

    changes = [
        changed(4, 8, {"full_name": ["X", "Y"]}),
        changed(3, 7, {"full_name": ["B", "C"]}),
        changed(1, 7, {"full_name": ["A", "B"], "credentials": ["MD", "PhD"], "role": ["lab manager", "pathologist"]}),
    ]
    found = [(user.full_name, user.credentials) for user in (as_of(now, changes, moment) for moment in at)]
    assert found == [("A", "MD"), ("B", "PhD"), ("B", "PhD"), ("C", "PhD"), ("C", "PhD")]
    assert as_of(now, changes, at[0]).role is Role.PATHOLOGIST
