"""The form that takes over a key of another authority: good files, wrong ones, hostile ones."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from streamlit.testing.v1 import AppTest

from her2core import workflow
from her2core.reporting import pkcs12_guard
from tests.pages.lab import PASSWORDS, POSITIVE, TestLaboratory
from tests.pages.test_administration import manage, shown, view
from tests.reporting.test_keys import external_pkcs12

OF_FILE = "from outside"
HOSTILE = {
    "nothing": (b"", "cannot be opened"),
    "no key at all": (b"\x89PNG\r\n\x1a\n" + bytes(2000), "cannot be opened"),
    "the half of a key": (external_pkcs12()[:700], "cannot be opened"),
    "sequences without an end": (b"\x30" * 100_000, "cannot be opened"),
    "a length of gigabytes": (b"\x30\x84\xff\xff\xff\xff" + bytes(1000), "cannot be opened"),
    "more than any key": (bytes(pkcs12_guard.MAX_BYTES + 1), "too large"),
    "a short RSA key": (external_pkcs12(rsa.generate_private_key(65537, 1024)), "too short"),
    "a key that may not sign": (external_pkcs12(signs=False), "not meant for signing"),
}


def taken_over(
    lab: TestLaboratory, data: bytes | None, of_file: str = OF_FILE, own: str = PASSWORDS["berg"], name: str = "berg"
) -> AppTest:
    """The page after the form was filled in and sent."""
    at = manage(lab, name)
    if data is not None:
        at.file_uploader(key="import_file").upload("key.p12", data, "application/x-pkcs12")
    at.text_input(key="import_file_passphrase").set_value(of_file)
    at.text_input(key="import_password").set_value(own)
    return at.button(key="import_now").click().run()


def test_a_key_of_another_authority_is_taken_over_and_signs(lab: TestLaboratory) -> None:
    before = lab.keyring.key_of(lab.person("berg"))
    at = taken_over(lab, external_pkcs12())
    assert "Miriam Berg signs with the key from the file now" in shown(at)
    record = lab.keyring.key_of(lab.person("berg"))
    assert record is not None
    assert record.external
    assert record != before
    assert "(imported)" in shown(view(at, "Signing keys"))
    report = lab.sign(lab.ready(POSITIVE))
    assert workflow.verify(lab.log, lab.keyring, lab.log.report_pdf(report.id)).ok
    entry = lab.log.audit(limit=20, actions=("signing key imported",))[0]
    assert (entry.by_username, entry.detail["user_id"]) == ("nair", lab.person("berg").id)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_no_such_key_changes_nothing(lab: TestLaboratory, what: str) -> None:
    data, said = HOSTILE[what]
    before = lab.keyring.records()
    assert said in shown(taken_over(lab, data))
    assert lab.keyring.records() == before
    lab.keyring.unlock(lab.person("berg"), PASSWORDS["berg"])


def test_both_secrets_are_needed_and_neither_comes_back(lab: TestLaboratory) -> None:
    before = lab.keyring.records()
    data = external_pkcs12()
    assert "Choose the key file first" in shown(taken_over(lab, None))
    assert "with that passphrase" in shown(taken_over(lab, data, of_file="wrong"))
    assert "This is not the password that" in shown(taken_over(lab, data, own="not the password"))
    assert "This is not the password that" in shown(
        taken_over(lab, data, own=PASSWORDS["nair"])
    )  # the administrator's own
    assert lab.keyring.records() == before
    text = shown(taken_over(lab, data))
    assert OF_FILE not in text
    assert PASSWORDS["berg"] not in text


def test_who_does_not_sign_is_offered_no_key(lab: TestLaboratory) -> None:
    assert not [field for field in manage(lab, "lind").text_input if field.key == "import_password"]
