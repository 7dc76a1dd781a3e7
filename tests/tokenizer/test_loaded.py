"""Other people's tokenizers: the ids, texts and files of the libraries that they were made with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.tokenizer.tokenizer import Tokenizer
from tests.tokenizer import published

Make = Callable[[], tokenizers.Tokenizer]
# Words and marks of the training text beside any character; "▁" is SentencePiece's own space.
PARTS = [
    "Mia", " is", "'ll", " 12345", "小明", "。", "\n", "\n\n", "   ", "\t", "é", "e\u0301", "🙂",
    "<s>", "</s>", "<|im_end|>", "<tool_call>", "def f(x):\n", "𠮷", " ", "\r\n", "x",
]  # fmt: skip
TEXT = st.lists(
    st.sampled_from(PARTS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁")),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module", params=[*published.BY_BYTES, *published.BY_PIECES])
def pair(request, tmp_path_factory) -> tuple[Tokenizer, tokenizers.Tokenizer, Path]:
    """A tokenizer as we load it, as the library does, and its directory."""
    folder = published.write(request.param(), tmp_path_factory.mktemp(request.param.__name__))
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder), library, folder


@settings(deadline=None)
@given(text=TEXT)
def test_ids_are_those_of_the_library(text: str, pair):
    ours, library, _ = pair
    assert ours.encode(text) == library.encode(text, add_special_tokens=False).ids
    library.encode_special_tokens = True
    plain = library.encode(text, add_special_tokens=False).ids
    library.encode_special_tokens = False
    assert ours.encode(text, allow_special=False) == plain
    assert ours.encode_batch([text, "Mia"], allow_special=False)[0] == plain


@settings(deadline=None)
@given(text=TEXT)
def test_texts_are_those_of_the_library_whole_and_streamed(text: str, pair):
    ours, library, _ = pair
    ids = library.encode(text, add_special_tokens=False).ids
    decoder = ours.decode_stream()
    assert "".join([*map(decoder.feed, ids), decoder.flush()]) == ours.decode(ids)
    assert ours.decode(ids) == library.decode(ids, skip_special_tokens=False)


@settings(deadline=None)
@given(strings=st.lists(TEXT, max_size=4))
def test_encoding_piece_by_piece_is_encoding_at_once(strings: list[str], pair):
    ours, _, _ = pair
    assert list(ours.encode_iterable(strings)) == ours.encode("".join(strings))


@settings(deadline=None, max_examples=30)
@given(text=TEXT)
def test_prompts_and_chats_are_those_of_transformers(text: str, pair, theirs):
    ours, _, _ = pair
    assert ours.encode_prompt(text) == theirs(text)["input_ids"]
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": f" {text} ok"}]
    if not any(token in text for token in ours.special_tokens):
        chat = theirs.apply_chat_template(messages, add_generation_prompt=True)
        assert ours.encode_chat(messages, add_generation_prompt=True) == chat["input_ids"]


@pytest.fixture(scope="module")
def theirs(pair):
    return AutoTokenizer.from_pretrained(pair[2])


def test_saving_writes_the_files_it_was_loaded_from(pair, tmp_path: Path):
    ours, _, folder = pair
    ours.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert Tokenizer.load(tmp_path).fingerprint == ours.fingerprint


def test_the_beginning_and_the_end_of_a_text_are_known(pair):
    ours, library, folder = pair
    assert ours.begin_ids == library.encode("").ids
    named = json.loads((folder / "tokenizer_config.json").read_text())["eos_token"]
    assert library.token_to_id(named if isinstance(named, str) else "</s>") in ours.end_ids
