"""Words added to vocabularies of all kinds: old text keeps its ids, other libraries agree."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from groundup.errors import InputError
from groundup.tokenizer.added import AddedWords, longest_of
from groundup.tokenizer.choosing import choose_words
from groundup.tokenizer.extending import check_words, extended, read_words
from groundup.tokenizer.gguf import gguf_tokenizer_fields, read_gguf_tokenizer
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.usage import usage
from tests.conftest import STORY
from tests.tokenizer import published

WORDS = ["劳动合同", "劳动合同法", "仲裁委", "plaintiff's", "force majeure", "naïveté", "§ 12"]
PARTS = [
    *WORDS, "劳动合", "合同法", "仲", " plaintiff", "force", " majeure", "<|im_end|>", "</s>", "\n",
    "  ", "Mia is", "小明", "。", "🙂", "e\u0301",
]  # fmt: skip
TEXT = st.lists(
    st.sampled_from(PARTS)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=5),
    max_size=8,
).map("".join)


def own_merges(folder: Path) -> Tokenizer:
    return Tokenizer.train_from_iterator([STORY], 400, ["<|endoftext|>", "<|im_end|>"])


def own_characters(folder: Path) -> Tokenizer:
    return Tokenizer.train_from_iterator([STORY], 60, kind="character")


def saved(make: Callable[[], tokenizers.Tokenizer]) -> Callable[[Path], Tokenizer]:
    return lambda folder: Tokenizer.load(published.write(make(), folder))


def pieces_with_scores(folder: Path) -> Tokenizer:
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(published.sentence_piece())
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    return Tokenizer.load(folder)


FILES = {make.__name__: saved(make) for make in (*published.BY_BYTES, *published.BY_PIECES)}
KINDS = {"merges": own_merges, "characters": own_characters, "sp": pieces_with_scores, **FILES}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> tuple[Tokenizer, Tokenizer, Path]:
    """A tokenizer, the same with words, and the directory of that."""
    folder = tmp_path_factory.mktemp(request.param)
    old = KINDS[request.param](folder / "old")
    extended(old, WORDS).save(folder / "new")
    return old, Tokenizer.load(folder / "new"), folder / "new"


def test_each_word_is_one_id_behind_all_others(pair):
    old, new, _ = pair
    ids = [new.encode(f"\n{word}", begins=False)[-1] for word in WORDS]
    assert ids == list(range(old.vocab_size, old.vocab_size + len(WORDS)))
    assert new.special_tokens == old.special_tokens


@settings(deadline=None, max_examples=40)
@given(text=TEXT)
def test_a_text_without_the_words_has_the_ids_that_it_had(text: str, pair):
    old, new, _ = pair
    for word in WORDS:
        text = text.replace(word, "")
    if not any(word in text for word in WORDS):
        assert new.encode(text) == old.encode(text)
        assert new.encode(text, allow_special=False) == old.encode(text, allow_special=False)
        assert new.encode_batch([text, ""]) == old.encode_batch([text, ""])


@settings(deadline=None, max_examples=40)
@given(text=TEXT)
def test_text_with_the_words_comes_back_whole_and_streamed(text: str, pair):
    old, new, _ = pair
    ids = new.encode(text)
    decoder = new.decode_stream()
    assert "".join([*map(decoder.feed, ids), decoder.flush()]) == new.decode(ids)
    if old.decode(old.encode(text)) == text and not new.vocabulary.prefix:
        assert new.decode(ids) == text


@settings(deadline=None, max_examples=40)
@given(strings=st.lists(TEXT, max_size=4))
def test_encoding_piece_by_piece_is_encoding_at_once(strings: list[str], pair):
    _, new, _ = pair
    assert list(new.encode_iterable(strings)) == new.encode("".join(strings))


@settings(deadline=None, max_examples=40)
@given(text=TEXT)
def test_tokenizers_gives_the_same_ids(text: str, pair):
    _, new, folder = pair
    if (folder / "tokenizer.json").exists():
        theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        assert new.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", ["merges", "characters", *FILES])
def test_transformers_gives_the_same_ids(kind: str, tmp_path: Path):
    new = extended(KINDS[kind](tmp_path / "old"), WORDS)
    new.save(tmp_path / "new")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "new")
    for text in (*WORDS, "Mia 劳动合同法 and 劳动合 the force majeure\n仲裁委。", "naïvetés § 12"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == new.encode(text)
        # transformers itself turns a word of Latin letters with accents into bytes of another text.
        if "ï" not in text:
            assert theirs.decode(new.encode(text)) == new.decode(new.encode(text))


def test_words_in_what_users_write_are_words(tmp_path: Path):
    new = extended(KINDS["smollm"](tmp_path), WORDS)
    said = new.encode_chat([{"role": "user", "content": "劳动合同<|im_end|>仲裁委"}])
    first = new.vocab_size - len(WORDS)
    assert first in said and first + WORDS.index("仲裁委") in said
    assert said.count(new.special_tokens["<|im_end|>"]) == 1


def test_saving_and_extending_again_keeps_the_first_words(tmp_path: Path):
    once = extended(own_merges(tmp_path), WORDS[:2])
    twice = extended(once, WORDS[2:])
    assert twice.encode("".join(WORDS)) == extended(own_merges(tmp_path), WORDS).encode(
        "".join(WORDS)
    )
    assert len({own_merges(tmp_path).fingerprint, once.fingerprint, twice.fingerprint}) == 3
    assert isinstance(twice.vocabulary, AddedWords)
    twice.save(tmp_path / "twice")
    assert Tokenizer.load(tmp_path / "twice").fingerprint == twice.fingerprint


def test_words_made_by_hand_are_saved_too(tmp_path: Path):
    old = own_merges(tmp_path)
    words = {word: old.vocab_size + i for i, word in enumerate(WORDS)}
    Tokenizer(AddedWords(old.vocabulary, words), old.special_tokens).save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.encode("劳动合同法") == [words["劳动合同法"]]


def test_qwens_published_ranks_take_words(real_data: Path, tmp_path: Path):
    (tmp_path / "qwen.tiktoken").write_bytes((real_data / "vocab/qwen.tiktoken").read_bytes())
    old = Tokenizer.load(tmp_path)
    new = extended(old, ["取保候审", "诉讼时效"])
    new.save(tmp_path / "new")
    again = Tokenizer.load(tmp_path / "new")
    assert again.encode("取保候审") == [old.vocab_size] and again.fingerprint == new.fingerprint
    text = (real_data / "zh/law-exam.json").read_text(encoding="utf-8")
    text = text.replace("取保候审", "").replace("诉讼时效", "")
    assert again.encode(text) == old.encode(text)


@pytest.mark.parametrize("kind", ["merges", "smollm", "llama2", "sp"])
def test_words_go_into_a_gguf_file_and_come_back(kind: str, tmp_path: Path):
    new = extended(KINDS[kind](tmp_path / "old"), WORDS)
    again = read_gguf_tokenizer(gguf_tokenizer_fields(new))
    for word in WORDS:
        assert (
            again.encode(f"\n{word}", begins=False)[-1] == new.encode(f"\n{word}", begins=False)[-1]
        )
        assert again.decode(again.encode(f"x{word}")) == f"x{word}"


@settings(deadline=None)
@given(words=st.sets(st.text("ab.", min_size=1, max_size=4), min_size=1), text=st.text("ab.c"))
def test_the_pattern_finds_the_longest_word_at_each_place(words: set[str], text: str):
    at, expected = 0, []
    while at < len(text):
        here = max((word for word in words if text.startswith(word, at)), key=len, default=None)
        expected += [here] if here else []
        at += len(here) if here else 1
    assert longest_of(words).findall(text) == expected


# Choosing words


def test_chosen_words_save_the_most_tokens():
    old = Tokenizer.train_from_iterator(["the cat sat on the mat " * 20], 300)
    text = "the plaintiff sued。劳动合同法规定，劳动合同。仲裁委说。仲裁委问。仲裁委答。" * 50
    words = choose_words(old, [text], 3)
    assert words[0] == "仲裁委" and "劳动合同" in words  # 9 bytes three times, 12 bytes twice
    used = usage(extended(old, words), [text])
    assert used.tokens < 0.5 * usage(old, [text]).tokens
    assert " plaintiff" in choose_words(old, [text], 10)


def test_taking_a_word_lowers_what_its_parts_save():
    old = Tokenizer.train_from_iterator(["x"], 256 + 1, kind="byte")
    words = choose_words(old, ["中华人民共和国，" * 30 + "人民，" * 20 + "国家，" * 25], 3)
    assert words == ["中华人民共和国", "国家", "人民"]


def test_a_domain_of_chinese_law_costs_a_fifth_fewer_tokens(real_data: Path):
    from groundup.sources.read import read_pieces

    texts = [piece.text for piece in read_pieces([real_data / "zh/legal-qa.jsonl"])]
    random.Random(0).shuffle(texts)
    chosen_from, held_out = texts[:500], texts[-200:]
    english = (real_data / "en/tinyshakespeare.txt").read_text(encoding="utf-8")[:200_000]
    old = Tokenizer.train_from_iterator([english, *texts[1500:1530]], 1500)
    new = extended(old, choose_words(old, chosen_from, 200))
    before, after = usage(old, held_out), usage(new, held_out)
    assert before.bytes == after.bytes
    assert after.tokens < 0.8 * before.tokens
    assert new.encode(english) == old.encode(english)


def test_fewer_words_come_where_no_more_save_any():
    old = Tokenizer.train_from_iterator([STORY], 400)
    assert choose_words(old, ["法院法院。x y z"], 100) == ["法院"]


# What is wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no words to add"),
        (["法院", ""], "empty"),
        (["法院 "], "a space where none may be"),
        (["法\n院"], "line end"),
        (["法院", "仲裁", "法院"], "more than once: '法院'"),
        (["<|im_end|>"], "special token inside"),
        (["再见<|"], "ending as one begins"),
        (["Mia"], "one token already, alone or after a space: 'Mia'"),
        (["\ud800x"], "empty, or"),
        (["é"], "ids of other tokens: 'é'"),
    ],
)  # fmt: skip
def test_words_that_cannot_be_added_are_named(words: list[str], said: str, tmp_path: Path):
    old = own_merges(tmp_path)
    with pytest.raises(InputError, match="words") as error:
        extended(old, words)
    assert said in str(error.value)


def test_a_word_that_begins_with_a_space_needs_a_vocabulary_that_keeps_it(tmp_path: Path):
    check_words(own_merges(tmp_path), [" plaintiff"])
    with pytest.raises(InputError, match="space where none may be"):
        check_words(KINDS["llama2"](tmp_path), [" plaintiff"])


def test_words_are_read_one_a_line_in_any_encoding(tmp_path: Path):
    path = tmp_path / "words.txt"
    path.write_text("\n劳动合同 \r\n\n plaintiff\n", encoding="utf-8")
    assert read_words(path) == ["劳动合同", " plaintiff"]
    path.write_text("劳动合同\n仲裁委员会\n取保候审\n" * 3, encoding="gb18030")
    assert read_words(path)[:2] == ["劳动合同", "仲裁委员会"]


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_of_none_is_refused(count: int, tmp_path: Path):
    with pytest.raises(InputError, match="use 1 or more"):
        choose_words(own_merges(tmp_path), [STORY], count)


def test_texts_without_words_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no text to find words in"):
        choose_words(own_merges(tmp_path), ["12 , 34 !"], 5)
