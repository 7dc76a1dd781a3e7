"""Encodings repaired, Unicode in one form, widths, and Chinese scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.cleaning.characters import Repair, Simplify, Unicode, Width

GOOD = [
    "他说：“你好，世界！”——这是（全角）标点……１２３％、ＡＢＣ。",
    "“Naïve” café—don’t… ﬁn £5 × 3 = ½ · ¿qué? 10°C §2 ©",
    "Привет, мир! Ελληνικά. 日本語のカタカナ。 한국어",
    "他說：「這是繁體字。」",
]


@pytest.mark.parametrize("text", GOOD)
def test_repair_leaves_good_text_alone(text: str):
    assert Repair().clean(text) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("大学生活很有意思", "latin-1"), ("大学生活很有意思", "cp437"), ("大学生活", "mac-roman"),
        ("Das war wunderschön, süß und größer", "cp1252"), ("Le café du théâtre", "cp437"),
        ("don’t", "latin-1"), ("“Yes”—he said", "mac-roman"), ("don’t", "cp1252"),
    ],
)  # fmt: skip
def test_repair_undoes_utf8_that_was_read_as_a_western_encoding(text: str, encoding: str):
    mended = Repair().clean(text.encode().decode(encoding))
    assert mended == text and Repair().clean(mended) == mended


def test_repair_mends_the_broken_line_and_no_other():
    broken = "好的“文字”。\n" + "你好世界".encode().decode("latin-1") + "\nＡ"
    assert Repair().clean(broken) == "好的“文字”。\n你好世界\nＡ"


@given(st.text(max_size=30), st.sampled_from(["latin-1", "cp437", "cp1251"]))
def test_repair_finds_nothing_more_in_what_it_mended(text: str, encoding: str):
    once = Repair().clean(text.encode().decode(encoding, "replace"))
    assert Repair().clean(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301t\u200be\u00ad\ufeff\x00\x1b", "éte"),
        ("他\u200b们\ue000说\u2060。", "他们说。"),
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne"),
        ("a \u3000\t\n  b\tc  \n", "a\n  b\tc\n"),
        ("a\n\n\n\n\n\nb\n\nc", "a\n\n\nb\n\nc"),
        ("👩\u200d💻 می\u200cخواهم a\u200db 好\u200d", "👩\u200d💻 می\u200cخواهم ab 好"),
        ("ｘ²，ﬁ", "ｘ²，ﬁ"),
    ],
)
def test_unicode_has_one_form_and_nothing_invisible(text: str, expected: str):
    assert Unicode().clean(text) == expected


def test_unicode_in_its_compatible_form_gives_up_widths_and_ligatures():
    assert Unicode(form="NFKC").clean("ｘ²，ﬁ") == "x2,fi"


@given(st.text(max_size=40) | st.text("a\u0301 \t\r\n\u200b\u200d\u00a0好\u064bم\ue000\x85👩\u1100\u1161"),
       st.sampled_from(["NFC", "NFKC"]))  # fmt: skip
def test_unicode_changes_nothing_the_second_time(text: str, form: str):
    step = Unicode(form=form)  # type: ignore[arg-type]
    once = step.clean(text)
    assert step.clean(once) == once


def test_widths_of_letters_and_digits_change_and_chinese_punctuation_stays():
    text = "ＡＢｃ１２３，。！？（％）：ｶﾞｷﾞ ﾊﾟﾝ　"
    assert Width().clean(text) == "ABc123，。！？（％）：ガギ パン　"
    assert Width(punctuation=True).clean("Ａ１，！（％）　ｂ") == "A1,!(%) b"


@given(st.text(max_size=40) | st.text("ａ１，ｶﾞﾟがﾡA　"), st.booleans())
def test_width_changes_nothing_the_second_time(text: str, punctuation: bool):
    step = Width(punctuation=punctuation)
    once = step.clean(text)
    assert step.clean(once) == once


def test_traditional_becomes_simplified_and_back_by_words():
    assert Simplify().clean("頭髮、發展與 English") == "头发、发展与 English"
    assert Simplify(to="traditional").clean("头发、发展") == "頭髮、發展"
    assert Simplify().clean("Only English.") == "Only English."
