"""Keys and signed reports, made once: tests that change a keyring make their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from her2core.reporting.keys import Keyring
from her2core.reporting.pdf import render_report
from her2core.reporting.signing import sign
from tests.reporting import samples

PASSWORD = "correct horse battery staple"
CA_PASSPHRASE = "the root of all trust"
MEANING = "I have reviewed the images and counts and am responsible for this report."


def make_keyring(folder: Path) -> Keyring:
    """A laboratory with keys for Anna and Boris, issued in January."""
    keyring = Keyring(folder, CA_PASSPHRASE)
    keyring.ensure_laboratory_ca("Northbank Molecular Pathology", samples.LONG_AGO)
    for user in (samples.ANNA, samples.BORIS):
        keyring.issue(user, PASSWORD, samples.LONG_AGO)
    return keyring


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return make_keyring(tmp_path_factory.mktemp("laboratory"))


@pytest.fixture
def fresh_laboratory(laboratory: Keyring, tmp_path: Path) -> Keyring:
    """A copy that may be changed; copied, since making keys is slow on purpose."""
    shutil.copytree(laboratory._folder, tmp_path / "keys")
    return Keyring(tmp_path, CA_PASSPHRASE)


@pytest.fixture(scope="session")
def unsigned() -> bytes:
    return render_report(samples.group_report(3))


@pytest.fixture(scope="session")
def signed(laboratory: Keyring, unsigned: bytes) -> bytes:
    return sign(unsigned, laboratory, samples.ANNA, PASSWORD, MEANING, samples.SIGNED_AT)
