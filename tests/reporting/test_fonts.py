"""Every script that a name may come in is printed right, or visibly not at all."""

from __future__ import annotations

import unicodedata

import pytest

from her2core.reporting.fonts import is_plain, markup, unprintable
from her2core.reporting.fonts.rtl import visual_order


@pytest.mark.parametrize("text", ["", "Anna-Lena O'Hara", "Łódź é ș µm ≥ 2.0", "Ελένη", "Анна", "Արամ", "დავით"])
def test_left_to_right_text_in_the_body_font_is_left_alone(text: str) -> None:
    assert is_plain(text)
    assert visual_order(text) == text


def test_markup_is_escaped_and_line_breaks_are_kept() -> None:
    assert markup("a<b>&c\nd") == "a&lt;b&gt;&amp;c<br/>d"
    assert markup("a\r\nb\rc") == "a<br/>b<br/>c"


def test_control_characters_become_spaces() -> None:
    assert markup("a\x00b\x1bc\x7fd\x85e") == "a b c d e"


def test_decomposed_letters_are_composed() -> None:
    assert markup(unicodedata.normalize("NFD", "Łęcka é")) == "Łęcka é"


def test_chinese_japanese_and_korean_go_to_fonts_that_have_them() -> None:
    assert markup("Dr. 汪伟 (Wang)") == 'Dr. <font name="her2core-cjk">汪伟</font> (Wang)'
    assert markup("山田はなこ") == '<font name="her2core-cjk">山田はなこ</font>'
    assert markup("한지민") == '<font name="her2core-hangul">한지민</font>'


@pytest.mark.parametrize(("text", "shown"), [("ა᲏", "ა⟨U+1C8F⟩"), ("a\U0001fac0b", "a⟨U+1FAC0⟩b"), ("अ", "⟨U+0905⟩")])
def test_a_character_that_no_font_has_is_shown_as_its_code_point(text: str, shown: str) -> None:
    assert markup(text) == shown
    assert not is_plain(text)


def test_lone_surrogates_do_not_break_a_report() -> None:
    assert markup("a\ud800b") == "a⟨U+D800⟩b"


def test_hebrew_is_turned_and_its_numbers_are_not() -> None:
    assert visual_order("שרה לוי") == "יול\u00a0הרש"
    assert visual_order("Dr. שרה, MD") == "Dr. הרש, MD"
    assert visual_order("כהן 12.5 לוי") == "יול\u00a012.5\u00a0ןהכ"
    assert visual_order("(שרה) לוי") == "(הרש) יול"


def test_arabic_letters_take_their_contextual_forms() -> None:
    # Muhammad: meem initial, hah medial, meem medial, dal final; set from right to left.
    assert visual_order("محمد") == "\ufeaa\ufee4\ufea4\ufee3"
    # Dal does not join to the letter after it: "dar" is dal isolated, alef isolated, reh isolated.
    assert visual_order("دار") == "\ufead\ufe8d\ufea9"
    assert visual_order("ب") == "\ufe8f"


def test_lam_and_alef_become_one_glyph() -> None:
    assert visual_order("صلاح") == "\ufea1\ufefc\ufebb"
    assert visual_order("لا") == "\ufefb"


def test_persian_letters_have_forms_too() -> None:
    # Peh initial, reh final, Farsi yeh isolated.
    assert visual_order("پری") == "\ufbfc\ufeae\ufb58"


def test_vowel_marks_stay_behind_their_letter_and_do_not_break_the_joining() -> None:
    turned = visual_order("مُحَ")
    assert [unicodedata.combining(character) > 0 for character in turned] == [False, True, False, True]
    assert turned[0] == "\ufea2"
    assert turned[2] == "\ufee3"


@pytest.mark.parametrize("mark", ["\u202e", "\u200f", "\u2066", "\ufeff", "\u200b"])
def test_invisible_direction_marks_cannot_disguise_a_name(mark: str) -> None:
    assert visual_order(f"An{mark}na Ł") == "Anna Ł"


def test_thai_goes_to_a_font_that_stacks_its_marks() -> None:
    assert markup("Dr. สมชาย") == 'Dr. <font name="her2core-thai">สมชาย</font>'


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Anna-Lena O'Hara", ""), ("محمد عبد الله", ""), ("王小明", ""), ("Ольга", ""), ("Ελένη", ""),
        ("สมชาย ใจดี", ""),
        ("김민수", ""), ("דוד כהן", ""), ("आशा", "आशा"), ("Asha আশা", "আশা"), ("a\u200db", ""), ("", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_printed_is_known_before_anything_is_printed(text: str, missing: str) -> None:
    assert set(unprintable(text)) == set(missing)
