"""Length, repetition, boilerplate lines, exact duplicates and languages."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.cleaning import lines
from groundup.cleaning.duplicates import fingerprint
from groundup.cleaning.filters import Length, Repetition
from groundup.cleaning.language import Language, language_of
from groundup.cleaning.lines import Boilerplate
from groundup.cleaning.step import Record
from groundup.sources.read import Piece, read_pieces
from tests.cleaning.conftest import cleaned, pieces

ENGLISH = (
    "The river runs past the old mill, and in spring the children of the village go there to catch "
    "small fish with their hands. Nobody remembers who built the wheel, though some say it was a "
    "carpenter from the north. At noon the baker brings bread, which they eat under a walnut tree."
)
CHINESE = (
    "河水流过旧磨坊，春天村里的孩子常去那里用手捉小鱼。没有人记得水车是谁造的，有人说是北方来的一个木匠。"
    "中午面包师傅送来面包，大家坐在核桃树下吃。傍晚时分，渔夫收网回家，山后升起淡淡的炊烟，狗在门口等着主人。"
)


def test_length_counts_characters_without_the_spaces_at_the_ends():
    step = Length(fewest=3, most=5)
    assert [step.keeps(text) for text in ("ab  ", "abc", "一二三四五", "abcdef")] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_repetition_keeps_good_text_and_short_text(text: str):
    assert Repetition().keeps(text)
    assert Repetition().keeps("哈哈哈哈哈哈") and Repetition().keeps("ha ha ha ha")


@pytest.mark.parametrize(
    "text",
    [
        "buy now and save big " * 30,
        "马上购买立即优惠" * 30,
        "\n".join(["a line of its own", "the same line again"] * 20),
        "\n".join([CHINESE, "点击这里下载更多精彩内容"] * 3),
        ENGLISH + " " + ENGLISH,
        CHINESE + CHINESE,
        ENGLISH + " click here" * 20,
        CHINESE + "好吃" * 60,
    ],
)
def test_repetition_leaves_out_what_says_the_same_again(text: str):
    assert not Repetition().keeps(text)


def test_repetition_thresholds_are_settings():
    text = ENGLISH + " " + ENGLISH
    shares = {"duplicate_ngrams": [1.0], "frequent_ngrams": [1.0]}
    assert Repetition(**shares).keeps(text)  # type: ignore[arg-type]
    assert not Repetition(duplicate_ngrams=[0.4], frequent_ngrams=[]).keeps(text)
    assert Repetition(duplicate_ngrams=[0.6], frequent_ngrams=[]).keeps(text)


def slow_repeated_share(words: list[str], n: int) -> float:
    """The definition, word by word: what the arrays must equal."""
    seen, covered = set(), set()
    for start in range(len(words) - n + 1):
        ngram = tuple(words[start : start + n])
        covered |= set(range(start, start + n)) if ngram in seen else set()
        seen.add(ngram)
    return sum(len(words[i]) for i in covered) / max(1, sum(map(len, words)))


@given(
    st.lists(st.sampled_from(["a", "bb", "ccc", "好"]), min_size=1, max_size=40), st.integers(0, 10)
)
def test_the_share_of_repeated_ngrams_is_that_of_the_definition(words: list[str], tenths: int):
    limit = tenths / 10 + 0.05
    step = Repetition(fewest=0, frequent_ngrams=[], duplicate_ngrams=[min(1.0, limit)],
                      duplicate_lines=1.0, duplicate_line_characters=1.0)  # fmt: skip
    scale = 2 if 2 * sum(len(word) == 1 for word in words) > len(words) else 1
    expected = slow_repeated_share(words, 5 * scale) / scale <= min(1.0, limit)
    assert step.keeps(" ".join(words)) == expected


def test_boilerplate_lines_go_once_they_were_seen_in_many_documents():
    footer = "版权所有 © 某某网站，转载请注明出处"
    documents = pieces(
        *[f"第{n}篇文章的正文。\n{footer}\nThe end of article {n}." for n in range(30)]
    )
    texts, record = cleaned(documents, "boilerplate")
    assert [footer in text for text in texts] == [True] * 20 + [False] * 10
    assert texts[-1] == "第29篇文章的正文。\nThe end of article 29."
    assert record.changed.documents == 10 and record.removed.documents == 0
    assert record.removed.characters == 10 * (len(footer) + 1)


def test_a_line_that_comes_again_in_one_document_counts_once_unless_times_are_counted():
    play = pieces("KING RICHARD III:\nAy.\n" * 30)
    assert cleaned(play, "boilerplate")[0] == [play[0].text]
    [text], _ = cleaned(play, {"step": "boilerplate", "count": "times", "most": 5})
    assert text.count("KING") == 5 and text.count("Ay.") == 30


def test_page_numbers_and_rules_go_if_asked_for():
    text = "第 12 页\n正文\n- 7 -\n*****\n12\nPage 3 of 10\n3.14\n第十二条"
    [cleaned_text], _ = cleaned(pieces(text), {"step": "boilerplate", "page_numbers": True})
    assert cleaned_text == "正文\n3.14\n第十二条"
    assert cleaned(pieces(text), "boilerplate")[0] == [text]


def test_boilerplate_remembers_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "MOST_LINES", 100)
    footer = "the footer of every page"
    documents = [Piece(f"line number {n} of the text\n{footer}", True, "f") for n in range(1000)]
    texts = [piece.text for piece in Boilerplate().apply(documents, Record("boilerplate"))]
    assert sum(footer in text for text in texts) == 20
    assert all(f"line number {n} of" in text for n, text in enumerate(texts))


def test_exact_duplicates_go_but_for_case_width_and_white_space():
    documents = pieces("Hello, World", "hello,\n  world ", "你好１", "你好 1", "你好2")
    texts, record = cleaned(documents, "exact_duplicates")
    assert texts == ["Hello, World", "你好１", "你好2"]
    assert record.removed.documents == 2
    assert [example.where for example in record.examples] == ["file:2", "file:4"]


def test_real_repeated_messages_are_found(real_data: Path):
    documents = list(read_pieces([real_data / "en/sms-spam.tsv"]))
    texts, record = cleaned(documents, "exact_duplicates")
    assert len(texts) == len({fingerprint(piece.text) for piece in documents})
    assert 400 < record.removed.documents < 450


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"), (CHINESE, "zh"), ("你好", "zh"), ("這是繁體中文。", "zh"),
        ("The Chinese word for contract is 合同，法律合同在公司签订", "mixed"),
        ("Bonjour, je m'appelle Pierre et j'habite à Paris depuis dix ans.", "fr"),
        ("Wij of jullie: dat was van hem, en hij gaat met de trein naar Amsterdam.", "nl"),
        ("Das war in der Stadt, und dann ging er mit ihr an den Fluss.", "de"),
        ("Hun gik over broen for at se havet, og de var der hele dagen.", "da"),
        ("El perro de la vecina corre por el parque y no vuelve hasta la noche.", "es"),
        ("these words no rule knows: apples, pears, bananas", "en"),
        ("これは日本語の文章です。明日は東京に行きます。", "ja"),
        ("今日は東京都庁で会議", "ja"),
        ("오늘은 날씨가 좋습니다 그리고 나는 학교에 간다", "ko"),
        ("Привет, как дела? Сегодня очень хорошая погода.", "ru"),
        ("12345 67890 …", "und"), ("", "und"),
    ],
)  # fmt: skip
def test_the_language_of_a_text_is_told(text: str, language: str):
    assert language_of(text) == language


def test_documents_of_other_languages_are_left_out_and_short_ones_stay():
    french = "Bonjour, je m'appelle Pierre et j'habite à Paris depuis dix ans avec ma famille."
    documents = pieces(ENGLISH, CHINESE, french, "Oui, merci", "iPhone 手机 case")
    assert cleaned(documents, "language")[0] == [ENGLISH, CHINESE, "Oui, merci", "iPhone 手机 case"]
    assert not Language(keep=["zh"]).keeps(ENGLISH) and Language(keep=["fr"]).keeps(french)


@pytest.mark.parametrize("name", ["en/sms-spam.tsv", "zh/song-ci.jsonl", "zh/reviews.tsv"])
def test_hardly_a_real_text_is_taken_for_another_language(name: str, real_data: Path):
    documents = list(read_pieces([real_data / name]))[:3000]
    _, record = cleaned(documents, "language")
    assert record.removed.documents <= 3
