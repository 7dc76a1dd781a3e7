"""Chat templates by name and by file, and the special tokens that come with them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.tokenizer.chat import DEFAULT_TEMPLATE, render_chat, render_step_by_step
from groundup.tokenizer.templates import TEMPLATES
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.vocabulary import fitted
from tests.tokenizer import published

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
]
WRITTEN = {
    "groundup": "<|system|> Be kind.<|end|><|user|> Hello<|end|><|assistant|> Hi<|end|>",
    "chatml": (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi<|im_end|>\n"
    ),
    "llama-3": (
        "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi<|eot_id|>"
    ),
    "phi-3": "<|system|>\nBe kind.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi<|end|>\n",
    "alpaca": "Be kind.\n\n### Instruction:\nHello\n\n### Response:\nHi<|endoftext|>",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_named_template_writes_its_format_with_tokens_of_its_own(name: str):
    plain = Tokenizer.train_from_iterator(["Hello. Be kind. Hi"], kind="byte")
    tokenizer = plain.with_template(name)
    ids, spoken = tokenizer.encode_turns(TALK)
    assert tokenizer.decode(ids) == WRITTEN[name] and any(spoken)
    marks = set(tokenizer.special_tokens) - set(plain.special_tokens)
    assert all(ids.count(tokenizer.special_tokens[mark]) for mark in marks)
    assert all(tokenizer.special_tokens[mark] >= plain.vocab_size for mark in marks)
    assert tokenizer.encode("Hello") == plain.encode("Hello")
    assert tokenizer.knows_turns and not plain.knows_turns


words = st.text(st.characters(exclude_categories=["Cs", "Cn"]))
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": words}
)


@given(st.lists(message, max_size=4), st.booleans())
def test_our_template_is_its_reading_version(messages: list[dict[str, str]], prompt: bool):
    written = render_step_by_step(messages, prompt)
    assert written == render_chat(DEFAULT_TEMPLATE, messages, prompt)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_tokenizer_with_another_template_is_saved_for_us_and_for_transformers(
    name: str, tmp_path: Path
):
    published.write(published.llama3(), tmp_path / "base")
    tokenizer = Tokenizer.load(tmp_path / "base").with_template(name)
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    ids = tokenizer.encode_chat(TALK)
    assert again.encode_chat(TALK) == ids and again.fingerprint == tokenizer.fingerprint
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert theirs.apply_chat_template(TALK)["input_ids"] == ids


def test_a_template_of_ones_own_brings_its_tokens_and_its_end(tmp_path: Path):
    path = tmp_path / "own.jinja"
    path.write_text(
        "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' ~ m.content }}"
        "{{ '<|done|>' if m.role == 'assistant' else '<|asked|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer = Tokenizer.train_from_iterator(["Hello"], kind="byte").with_template(path)
    added = ["<|system|>", "<|asked|>", "<|user|>", "<|assistant|>", "<|done|>"]
    assert list(tokenizer.special_tokens)[1:] == added
    assert tokenizer.special_tokens["<|done|>"] in tokenizer.end_ids
    assert tokenizer.special_tokens["<|asked|>"] not in tokenizer.end_ids


def test_a_vocabulary_that_has_the_tokens_stays_as_it_is(tokenizer: Tokenizer):
    assert tokenizer.with_template("phi-3").special_tokens == tokenizer.special_tokens


def test_without_a_token_that_ends_texts_one_is_added_where_the_template_wants_it():
    tokenizer = Tokenizer.train_from_iterator(["Hello"], kind="byte", special_tokens=["<|x|>"])
    assert "<|endoftext|>" in tokenizer.with_template("alpaca").special_tokens


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("chat-ml", "did you mean 'chatml'"),
        ("missing.jinja", "no such chat template"),
        ("{bad}.jinja", "does not render"),
        ("{mute}.jinja", "cannot be seen what the assistant says"),
        ("{bytes}.jinja", "no text in UTF-8"),
    ],
)
def test_templates_that_are_no_use_are_refused(given: str, said: str, tmp_path: Path, tokenizer):
    (tmp_path / "{bad}.jinja").write_text("{% for m in messages %}")
    (tmp_path / "{mute}.jinja").write_text("{{ messages | length }}")
    (tmp_path / "{bytes}.jinja").write_bytes(b"\xff\xfe\x00")
    path = tmp_path / given
    with pytest.raises(InputError) as error:
        tokenizer.with_template(path if path.is_file() else given)
    assert said in str(error.value)


@torch.no_grad()
def test_a_model_grows_by_the_rows_of_new_tokens_and_else_stays_as_it_was(
    model: GPT, tokenizer: Tokenizer
):
    changed = tokenizer.with_template("chatml")
    grown = fitted(model, tokenizer, changed)
    assert grown.config.vocab_size == changed.vocab_size == model.config.vocab_size + 2
    ids = torch.tensor([tokenizer.encode("Where is Mia?")])
    torch.testing.assert_close(grown(ids)[..., : tokenizer.vocab_size], model(ids))
    start, end = (
        grown.embedding.weight[changed.special_tokens[t]] for t in ("<|im_start|>", "<|im_end|>")
    )
    assert start.norm() > 0 and not torch.equal(start, end)
    assert fitted(model, tokenizer, tokenizer.with_template("phi-3")) is model
