"""Tokenizers from and for GGUF files, against llama.cpp itself."""

from pathlib import Path

import gguf
import pytest

from groundup.errors import CorruptFileError, InputError
from groundup.tokenizer.gguf import gguf_tokenizer_fields, read_gguf_tokenizer
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from tests.tokenizer import published
from tests.tokenizer.llama_cpp import Tokenize, serving, write_model

TEXTS = [
    "", " ", "Hello world", " Hello", "  two  spaces   ", "\n\n\n x", "tabs\t\there", "a\r\n\r\nb",
    "1234567 890 3.14 ²³ ½ ٣٤", "don't we'll I'VE 'tis 'They say", "机器学习与深度学习，2024年。",
    "“小明”说：‘好。’", "APP软件 の 한국어", "🙂👍🏽 👩‍👩‍👧", "def f(x):\n    return x + 1\n\n\n",
    "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|><|im_start|>", "a<repo_name>b", "<|im_start",
    "é e\u0301 ñ ﬁ", "x\u00a0y\u2003z", "…——“”", "{}[]();:'\"\\", "العربية עברית हिन्दी ไทย",
    "\x01 ctrl", "a" * 300, "= = = == ===", "http://x.y/z?q=1&b=2#f", "\u200b\u200d\ufeff",
    "'s's's S'S", "<s>Mia</s> is", "Mia<|end|><|user|> Tom", "𠮷野家", "HelloWorld XMLParser",
    *published.TEXT.splitlines(keepends=True)[:8],
]  # fmt: skip


@pytest.fixture(scope="module")
def fields(smollm2: Path) -> dict:
    reader = gguf.GGUFReader(smollm2)
    return {
        name: field.contents()
        for name, field in reader.fields.items()
        if name.startswith("tokenizer.")
    }


@pytest.fixture(scope="module")
def published_tokenizer(fields: dict) -> Tokenizer:
    return read_gguf_tokenizer(fields)


def real_texts(real_data: Path) -> list[str]:
    """Passages of the real texts, from all over them."""
    passages = []
    for name in ("en/tinyshakespeare.txt", "en/sms-spam.tsv", "zh/law-exam.json",
                 "zh/song-ci.jsonl", "zh/medical-qa.jsonl"):  # fmt: skip
        text = (real_data / name).read_text(encoding="utf-8")
        step = len(text) // 20
        passages += [text[start : start + 400] for start in range(0, 20 * step, step)]
    return passages


def assert_the_same_ids(ours: Tokenizer, llama_cpp: Tokenize, texts: list[str]) -> None:
    for text in texts:
        assert ours.encode(text) == llama_cpp(text, True), text
        assert ours.encode(text, allow_special=False) == llama_cpp(text, False), text


def test_smollm2s_ids_are_llama_cpps(smollm2: Path, published_tokenizer, real_data: Path):
    with serving(smollm2) as llama_cpp:
        assert_the_same_ids(published_tokenizer, llama_cpp, TEXTS + real_texts(real_data))


def test_smollm2_talks_in_its_own_template(published_tokenizer: Tokenizer):
    ours = published_tokenizer
    chat = ours.decode(ours.encode_chat([{"role": "user", "content": "Hi"}], True))
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert ours.begin_ids == [] and ours.end_ids == [0, 2] and ours.vocab_size == 49152


def test_what_is_read_is_written_again(fields: dict, published_tokenizer: Tokenizer):
    written = gguf_tokenizer_fields(published_tokenizer)
    assert {name: written[name] for name in fields if name in written} == {
        name: value for name, value in fields.items() if not name.endswith("add_space_prefix")
    }


def test_a_tokenizer_of_a_gguf_file_saves_as_a_directory(published_tokenizer, tmp_path: Path):
    ours = published_tokenizer
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == ours.fingerprint and again.chat_template == ours.chat_template
    assert again.encode("Hello 123<|im_end|>") == ours.encode("Hello 123<|im_end|>")


@pytest.fixture(scope="module")
def learned(real_data: Path) -> Tokenizer:
    """A tokenizer of ours, learned from real text in both languages."""
    paths = [real_data / "en/tinyshakespeare.txt", real_data / "zh/law-exam.json"]
    special = [END_OF_TEXT, "<|user|>", "<|assistant|>", "<|end|>"]
    return Tokenizer.train(paths, 3000, special)


def test_our_own_ids_are_llama_cpps(learned: Tokenizer, real_data: Path, tmp_path: Path):
    with serving(write_model(tmp_path / "ours.gguf", learned)) as llama_cpp:
        assert_the_same_ids(learned, llama_cpp, TEXTS + real_texts(real_data))


def test_bytes_without_merges_are_written_too(tmp_path: Path):
    ours = Tokenizer.train_from_iterator([], 257, kind="byte")
    with serving(write_model(tmp_path / "bytes.gguf", ours)) as llama_cpp:
        assert_the_same_ids(ours, llama_cpp, TEXTS)
    again = read_gguf_tokenizer(gguf_tokenizer_fields(ours))
    assert [again.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]


@pytest.mark.parametrize(
    "make", [published.smollm, published.llama3, published.qwen, published.llama2]
)
def test_loaded_tokenizers_written_as_gguf_give_their_ids(make, tmp_path: Path):
    ours = Tokenizer.load(published.write(make(), tmp_path / "loaded"))
    texts = [
        text for text in TEXTS if "\u0301" not in text
    ]  # llama.cpp does not compose: Qwen does
    with serving(write_model(tmp_path / "loaded.gguf", ours)) as llama_cpp:
        assert_the_same_ids(ours, llama_cpp, texts)
    again = read_gguf_tokenizer(gguf_tokenizer_fields(ours))
    assert [again.encode_prompt(text) for text in texts] == [*map(ours.encode_prompt, texts)]
    assert set(again.end_ids) == set(ours.end_ids)


def test_sentencepiece_written_as_gguf_gives_its_ids(tmp_path: Path):
    (tmp_path / "tokenizer.model").write_bytes(published.sentence_piece())
    (tmp_path / "tokenizer_config.json").write_text('{"legacy": true, "bos_token": "<s>"}')
    ours = Tokenizer.load(tmp_path)
    with serving(write_model(tmp_path / "pieces.gguf", ours)) as llama_cpp:
        assert_the_same_ids(ours, llama_cpp, TEXTS)
    again = read_gguf_tokenizer(gguf_tokenizer_fields(ours))
    assert [again.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]
    assert again.begin_ids == ours.begin_ids == [1]


def test_holes_are_filled_up_to_the_rows_of_the_embedding(learned: Tokenizer):
    fields = gguf_tokenizer_fields(learned, vocab_size=3100)
    assert len(fields["tokenizer.ggml.tokens"]) == len(fields["tokenizer.ggml.token_type"]) == 3100


def test_what_llama_cpp_cannot_cut_is_refused(tmp_path: Path):
    characters = Tokenizer.train_from_iterator(["abc"], 10, kind="character")
    unigram = Tokenizer.load(published.write(published.unigram(), tmp_path / "unigram"))
    odd = Tokenizer.load(published.write(published.deepseek(), tmp_path / "odd"))
    for tokenizer in (characters, unigram, odd):
        with pytest.raises(InputError, match=r"llama\.cpp cannot encode"):
            gguf_tokenizer_fields(tokenizer)


def test_fields_of_other_kinds_are_refused_by_name():
    with pytest.raises(InputError, match="bert"):
        read_gguf_tokenizer({"tokenizer.ggml.model": "bert"})
    odd = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"],
           "tokenizer.ggml.pre": "smolm"}  # fmt: skip
    with pytest.raises(InputError, match="smollm"):
        read_gguf_tokenizer(odd)


def test_fields_that_do_not_fit_together_are_said_to_be_damage():
    whole = gguf_tokenizer_fields(Tokenizer.train_from_iterator(["ab ab"], 300))
    cut = {name: value for name, value in whole.items() if name != "tokenizer.ggml.tokens"}
    for fields in (cut, whole | {"tokenizer.ggml.bos_token_id": 9999}):
        with pytest.raises(CorruptFileError, match="do not fit together"):
            read_gguf_tokenizer(fields)
