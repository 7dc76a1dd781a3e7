"""Vocabularies cut down to what texts use: those texts keep their tokens."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from groundup.errors import InputError
from groundup.sources.read import read_pieces
from groundup.tokenizer.extending import extended
from groundup.tokenizer.shrinking import shrunk
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.usage import usage
from tests.tokenizer import published
from tests.tokenizer.test_extending import KINDS, TEXT, WORDS

OF_MERGES = ["merges", "smollm", "llama3", "qwen", "deepseek", "llama2", "mistral", "gemma"]


@pytest.fixture(scope="module", params=OF_MERGES)
def old(request, tmp_path_factory) -> Tokenizer:
    """With words, which must survive."""
    return extended(KINDS[request.param](tmp_path_factory.mktemp(request.param) / "old"), WORDS)


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(TEXT, min_size=1, max_size=4), other=TEXT)
def test_texts_keep_their_tokens_and_others_can_still_be_written(texts, other: str, old):
    new, kept = shrunk(old, {id_ for text in texts for id_ in old.encode(text)})
    for text in texts:
        assert [kept[id_] for id_ in new.encode(text)] == old.encode(text)
    assert new.decode(new.encode(other)) == old.decode(old.encode(other))
    assert [new.token_bytes(id_) for id_ in range(len(kept))] == list(map(old.token_bytes, kept))


def test_what_frames_a_text_stays_under_its_new_ids(old):
    new, kept = shrunk(old, [])
    assert new.vocab_size == len(kept) < old.vocab_size
    assert new.special_tokens == {t: kept.index(i) for t, i in old.special_tokens.items()}
    assert [kept[id_] for id_ in new.end_ids] == old.end_ids
    assert [kept[id_] for id_ in new.begin_ids] == old.begin_ids
    talk = [{"role": "user", "content": ""}]
    assert [kept[id_] for id_ in new.encode_chat(talk, True)] == old.encode_chat(talk, True)


def test_shrinking_twice_is_shrinking_once(old):
    text = "Mia is in the garden. 劳动合同法"
    once, _ = shrunk(old, old.encode(text))
    twice, kept = shrunk(once, once.encode(text))
    assert kept == list(range(once.vocab_size)) and twice.fingerprint == once.fingerprint


def test_other_libraries_give_the_same_ids(old, tmp_path: Path):
    domain = "Mia is in the garden. 劳动合同法 naïveté\n<|im_end|>"
    new, _ = shrunk(old, old.encode(domain))
    new.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (domain, "小明 something else 12345\n\n🙂"):
        assert theirs.encode(text, add_special_tokens=False).ids == new.encode(text)
        given = AutoTokenizer.from_pretrained(tmp_path)(text, add_special_tokens=False)
        assert given["input_ids"] == new.encode(text)
    assert Tokenizer.load(tmp_path).fingerprint == new.fingerprint


def test_ids_in_the_settings_follow(tmp_path: Path):
    folder = published.write(published.smollm(), tmp_path / "old")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    listed = {str(id_): {"content": mark, "special": True} for id_, mark in
              enumerate(published.MARKS)} | {"500": {"content": "<call>", "special": True}}  # fmt: skip
    config["added_tokens_decoder"] = listed
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 500]}')
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 500, "content": "<call>"})
    content["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_id": 2,
                          "pad_to_multiple_of": None, "pad_type_id": 0, "pad_token": "x"}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "added_tokens.json").write_text('{"<call>": 500}')
    new, kept = shrunk(Tokenizer.load(folder), [])
    call = kept.index(500)
    assert set(new.end_ids) == {0, 2, call}
    new.save(tmp_path / "new")
    written = json.loads((tmp_path / "new/tokenizer_config.json").read_text())
    assert written["added_tokens_decoder"][str(call)]["content"] == "<call>"
    assert json.loads((tmp_path / "new/added_tokens.json").read_text()) == {"<call>": call}


def test_gpt2s_published_vocabulary_shrinks_to_shakespeares(real_data: Path, tmp_path: Path):
    old = Tokenizer.load(real_data / "vocab/gpt2")
    texts = [piece.text for piece in read_pieces([real_data / "en/tinyshakespeare.txt"])]
    before = usage(old, texts)
    new, kept = shrunk(old, before.times)
    assert new.vocab_size < 0.3 * old.vocab_size
    assert [kept[id_] for id_ in new.encode(texts[0])] == old.encode(texts[0])
    new.save(tmp_path)
    assert not (tmp_path / "vocab.json").exists()
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(texts[0][:20_000]).ids == new.encode(texts[0][:20_000])


@pytest.mark.parametrize(
    ("kind", "said"),
    [("characters", "WordLevel"), ("unigram", "Unigram"), ("sp", "tokenizer.json")],
)
def test_other_kinds_are_refused_by_name(kind: str, said: str, tmp_path: Path):
    with pytest.raises(InputError, match="only a vocabulary of merges can be shrunk") as error:
        shrunk(KINDS[kind](tmp_path / "old"), [])
    assert said in str(error.value) and "GPT-2, Llama 3, Qwen" in str(error.value)


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("model", {"end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ("post_processor", {"type": "RobertaProcessing", "sep": ["<|im_end|>", 2],
                            "cls": ["<|im_start|>", 1], "trim_offsets": True,
                            "add_prefix_space": False}, "RobertaProcessing"),
    ],
)  # fmt: skip
def test_what_ids_could_not_follow_is_refused(part: str, content, said: str, tmp_path: Path):
    folder = published.write(published.smollm(), tmp_path)
    whole = json.loads((folder / "tokenizer.json").read_text())
    whole[part] = (whole[part] or {}) | content
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=said):
        shrunk(Tokenizer.load(folder), [])
