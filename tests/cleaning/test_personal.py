"""Personal data: what is found, what is left alone, and how it is masked."""

import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric

from groundup.cleaning.personal import Found, Personal, find_personal
from groundup.sources.read import read_pieces
from tests.cleaning.conftest import cleaned, pieces


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("电话13812345678，谢谢", "phone", "13812345678"),
        ("手机：138 1234 5678。", "phone", "138 1234 5678"),
        ("+86 138-1234-5678", "phone", "+86 138-1234-5678"),
        ("请拨打010-12345678转801", "phone", "010-12345678"),
        ("总机 0755-26788888-801", "phone", "0755-26788888-801"),
        ("客服400-820-6666", "phone", "400-820-6666"),
        ("Call (212) 736-5000 now", "phone", "(212) 736-5000"),
        ("or 212.736.5000", "phone", "212.736.5000"),
        ("ring 020 7946 0958 5 times", "phone", "020 7946 0958"),
        ("+33 1 42 68 53 00", "phone", "+33 1 42 68 53 00"),
        ("身份证11010519491231002X号", "id", "11010519491231002X"),
        ("ID 11010519491231002x.", "id", "11010519491231002x"),
        ("邮箱zhang.san@163.com联系", "email", "zhang.san@163.com"),
        ("write to a.b+c@mail.example.co.uk, please", "email", "a.b+c@mail.example.co.uk"),
        ("卡号4111111111111111", "card", "4111111111111111"),
        ("card 4111 1111 1111 1111 2029", "card", "4111 1111 1111 1111"),
        ("Amex 3782 822463 10005", "card", "3782 822463 10005"),
        ("IBAN DE89 3704 0044 0532 0130 00 BANK", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
    ],
)
def test_personal_data_is_found(text: str, kind: str, found: str):
    start = text.index(found)
    assert find_personal(text) == [Found(kind, start, start + len(found), found)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 12:30:45", "2012-01-02 08", "01-02-2024 12 30", "2024.01.02-2024.02.03",
        "20240102123456", "1700000000000", "1914-1918 1939-1945", "in 1999 2000 2001 2002",
        "￥1,234,567.89", "1,234,567,890,123", "100 200 3000", "212 736 500 euros",
        "ISBN 978-7-301-12345-6", "ISBN 0-306-40615-2", "9787301123456", "6901234567892",
        "第1234567890条", "《民法典》第1043条第2款", "法释〔2020〕17号，自2021-01-01起",
        "（2019）京0105民初12345678号", "3.14159265358979323846", "0.13812345678", "13812345678.5元",
        "192.168.100.200", "http://x.com/item/13812345678?id=13912345678", "QQ：710959285",
        "0 1 0 1 1 0 1 0 1 1 0 1 0 0 0 1", "1000 2000 3000 4000", "12345678901234567890123456",
        "icon@2x.png", "user@localhost", "a @ b", "@property", "x = A12[B34]", "2127365000",
        "11010519491231002X1", "v13812345678", "sha 4111111111111111a",
    ],
)  # fmt: skip
def test_other_numbers_are_left_alone(text: str):
    assert find_personal(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "110105194912310021",  # the check digit is X
        "110105194913310026", "110105209912310027", "440524188001010014",  # no such birthday
        "4111111111111112", "4111-1111-1111-1112", "9111111111111111",
        "GB82WEST12345698765433", "DE89370400440532013001",
    ],
)  # fmt: skip
def test_a_number_that_fails_its_check_stays(text: str):
    assert find_personal(f"号码：{text}。") == []


@given(st.integers(110000, 659999), st.dates(min_value=date(1900, 1, 1),
       max_value=date(2020, 12, 31)), st.integers(0, 999))  # fmt: skip
def test_only_one_check_digit_makes_an_identity_number(place: int, born: date, order: int):
    number = f"{place}{born:%Y%m%d}{order:03}"
    right = ric.calc_check_digit(number + "0")
    for digit in "0123456789X":
        found = [one.kind for one in find_personal(f"身份证号{number}{digit}，")]
        assert found == (["id"] if digit == right else [])


@given(st.sampled_from(["4", "51", "62", "35"]), st.integers(0, 10**13))
def test_only_one_check_digit_makes_a_card(first: str, rest: int):
    number = (first + f"{rest:015}")[:15]
    right = luhn.calc_check_digit(number)
    for digit in "0123456789":
        found = find_personal(f"card {number}{digit}", ["card"])
        assert bool(found) == (digit == right)


def test_masks_stand_in_place_of_what_is_found():
    text = "张三，13812345678，zhang@163.com，11010519491231002X，卡4111111111111111。"
    texts, record = cleaned(pieces(text, "Nothing here, since 1999."), "personal")
    assert texts == ["张三，[PHONE]，[EMAIL]，[ID]，卡[CARD]。", "Nothing here, since 1999."]
    assert record.changed.documents == 1 and record.removed.documents == 0
    assert Personal().clean(texts[0]) == texts[0]


def test_texts_with_personal_data_can_be_left_out_and_kinds_chosen():
    documents = pieces("call 13812345678", "mail a@b.cn", "nothing")
    texts, record = cleaned(documents, {"step": "personal", "mode": "drop", "kinds": ["phone"]})
    assert texts == ["mail a@b.cn", "nothing"] and record.removed.documents == 1


def test_phones_of_other_regions_are_known_if_named():
    assert find_personal("ruf 030 901820 an") == []
    assert [one.text for one in find_personal("ruf 030 901820 an", regions=["DE"])] == [
        "030 901820"
    ]


@given(st.text("0123456789 -.@aX+()", max_size=80))
def test_what_is_found_stands_where_it_says_in_order_and_without_overlap(text: str):
    found = find_personal(text)
    assert all(text[one.start : one.end] == one.text for one in found)
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))


@pytest.mark.parametrize("part", ["0 ", "12-", "1", "a@", "a.b@", "AB12 ", "+1 ", "138 1234 "])
def test_endless_runs_of_what_begins_like_personal_data_are_read_in_linear_time(part: str):
    # A thousandth of a second for a thousand characters; with its square it would be minutes.
    began = time.perf_counter()
    assert find_personal(part * (100_000 // len(part))) == []
    assert time.perf_counter() - began < 30


@pytest.mark.parametrize("name", ["zh/medical-qa.jsonl", "zh/law-exam.json", "zh/song-ci.jsonl",
                                  "en/tinyshakespeare.txt"])  # fmt: skip
def test_real_texts_without_personal_data_have_none(name: str, real_data: Path):
    assert [
        one for piece in read_pieces([real_data / name]) for one in find_personal(piece.text)
    ] == []


def test_real_messages_have_the_numbers_that_they_say_to_call(real_data: Path):
    found = [one for piece in read_pieces([real_data / "en/sms-spam.tsv"])
             for one in find_personal(piece.text)]  # fmt: skip
    kinds = [one.kind for one in found]
    assert set(kinds) == {"phone", "email"} and 380 < kinds.count("phone") < 450
