"""Which passwords may be chosen, without asking the network."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.accounts import check_password
from her2core.accounts.passwords import _common
from her2core.errors import PasswordError
from her2core.passwords import normalised


@pytest.mark.parametrize(
    "password",
    [
        "copper lantern drifts",
        "sunshine-hospital-9",
        "Kaffee mit Milch 7",
        "xK9#mQ2$vL5p",
        "fünf grüne schirme",
        "五つの緑の傘と古い灯台",
        "a password of mine, never seen",
    ],
)
def test_good_passwords_are_accepted(password: str) -> None:
    check_password(password, "anna", "Anna Arendt")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "longer"),
        ("k7$Lq2#zP", "longer"),
        ("x7" + "ab9Q" * 60, "shorter"),
        ("with a\0null byte", "can be typed"),
        ("lone \ud800 surrogate", "can be typed"),
        ("aaaaaaaaaaaa", "pattern"),
        ("abababababab", "pattern"),
        ("abcabcabcabcab", "pattern"),
        ("1234567890", "pattern"),
        ("0987654321", "pattern"),
        ("qwertyuiop", "pattern"),
        ("mnbvcxzlkj", "pattern"),
        ("password123", "common"),
        ("Password2026!", "common"),
        ("P@ssw0rd!!!!", "common"),
        ("pa$$word2026", "common"),
        ("1q2w3e4r5t6y", "common"),
        ("iloveyou2026", "common"),
        ("!!letmein!!!", "common"),
        ("ｐａｓｓｗｏｒｄ２０２６", "common"),
        ("annaarendt", "name"),
        ("Anna.Arendt.1", "name"),
        ("arendtanna99", "name"),
    ],
)
def test_weak_passwords_are_refused_with_the_reason(password: str, why: str) -> None:
    with pytest.raises(PasswordError, match=why):
        check_password(password, "anna", "Anna Arendt")


def test_every_common_password_that_is_long_enough_is_refused() -> None:
    long_enough = [word for word in _common() if len(word) >= 10]
    assert len(long_enough) > 2000
    for word in long_enough:
        with pytest.raises(PasswordError):
            check_password(word.title())


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=220))
def test_any_text_is_accepted_or_refused_with_a_reason(password: str) -> None:
    try:
        check_password(password, password[:5], password[5:20])
    except PasswordError as refused:
        assert str(refused).startswith("Choose")
    else:
        assert 10 <= len(normalised(password)) <= 200
