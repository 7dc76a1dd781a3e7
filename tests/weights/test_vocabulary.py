"""Models with another vocabulary: the same bits on what both know."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

import groundup
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.extending import pieces_of
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.usage import usage
from groundup.weights.vocabulary import (
    extend,
    figures,
    largest_difference,
    means,
    shrink,
    with_rows,
    word_rows,
)
from tests.tokenizer import published

WORDS = ["劳动合同", "仲裁委员会", " plaintiff", "force majeure"]
SIZES = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 64}
TEXT = st.lists(
    st.sampled_from(["Mia is", " in the garden", "小明", "。", "\n", "劳动", " plaint", "🙂"])
    | st.text(max_size=5),
    min_size=1, max_size=8,
).map("".join)  # fmt: skip


@pytest.fixture(
    scope="module",
    params=["llama-like", "gpt-2-small", "gemma-like", "transformer-2017", "nano", "padded"],
)
def pair(request, tokenizer: Tokenizer) -> tuple[GPT, Tokenizer]:
    """Models with tied and with untied heads, of several families, one with rows to spare."""
    torch.manual_seed(0)
    name, size = request.param, tokenizer.vocab_size
    if name == "gemma-like":
        more = {"logit_softcap": 5.0, "scale_embeddings": True, "tie_embeddings": True}
        return GPT(preset("llama-like", vocab_size=size, **SIZES, **more)).eval(), tokenizer
    if name == "padded":
        return GPT(preset("llama-like", vocab_size=size + 3, **SIZES)).eval(), tokenizer
    return GPT(preset(name, vocab_size=size, **SIZES)).eval(), tokenizer


@pytest.fixture(scope="module")
def extended(pair) -> tuple[GPT, Tokenizer]:
    return extend(*pair, WORDS)


@settings(deadline=None, max_examples=25)
@given(text=TEXT)
def test_text_without_the_words_has_the_same_ids_and_logits(text: str, pair, extended):
    (model, old), (longer_model, longer) = pair, extended
    ids = longer.encode(text)[:64] or [0]
    assert not any(word in text for word in WORDS) and ids == (old.encode(text)[:64] or [0])
    batch = torch.tensor([ids])
    assert torch.equal(longer_model.hidden(batch), model.hidden(batch))
    known = longer_model(batch)[..., : old.vocab_size]
    torch.testing.assert_close(known, model(batch)[..., : old.vocab_size], atol=1e-5, rtol=0)
    assert torch.equal(
        longer_model.head.weight[: old.vocab_size], model.head.weight[: old.vocab_size]
    )
    assert longer_model.config.vocab_size == max(model.config.vocab_size, longer.vocab_size)


def test_long_texts_have_logits_of_the_same_bits(pair, extended):
    (model, old), (longer_model, _) = pair, extended
    ids = torch.randint(0, old.vocab_size, (2, 64))
    assert torch.equal(longer_model(ids)[..., : old.vocab_size], model(ids)[..., : old.vocab_size])


def test_a_words_rows_are_the_mean_of_those_of_its_pieces(pair, extended):
    (model, old), (longer_model, _) = pair, extended
    for new, word in enumerate(WORDS, old.vocab_size):
        for part in ("embedding", "head"):
            before, after = getattr(model, part).weight, getattr(longer_model, part).weight
            torch.testing.assert_close(after[new], before[pieces_of(old, word)].mean(0))


def test_all_other_weights_are_shared_and_the_old_model_is_as_it_was(pair):
    model, old = pair
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    longer_model, _ = extend(model, old, WORDS)
    shared = {name: weight.data_ptr() for name, weight in longer_model.named_parameters()}
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name])
        is_resized = name in ("embedding.weight", "head.weight")
        assert (weight.data_ptr() == shared[name]) != is_resized
    tied = longer_model.head.weight is longer_model.embedding.weight
    assert tied == model.config.tie_embeddings
    assert all(weight.requires_grad for weight in longer_model.parameters())


def test_spare_rows_are_filled_before_new_ones_are_made(tokenizer: Tokenizer):
    for spare, size in ((0, 4), (3, 4), (4, 4), (9, 9)):
        model = GPT(preset("llama-like", vocab_size=tokenizer.vocab_size + spare, **SIZES))
        longer_model, longer = extend(model, tokenizer, WORDS)
        assert longer.vocab_size == tokenizer.vocab_size + 4
        assert longer_model.config.vocab_size == tokenizer.vocab_size + size
        assert len(longer_model.embedding.weight) == tokenizer.vocab_size + size


@settings(deadline=None, max_examples=25)
@given(text=TEXT)
def test_a_shrunk_model_gives_its_texts_the_same_logits(text: str, pair):
    model, old = pair
    small_model, small, kept = shrink(model, old, old.encode(text))
    ids = small.encode(text)[:64] or [0]
    assert [kept[id_] for id_ in ids] == (old.encode(text)[:64] or [kept[0]])
    batch, old_batch = torch.tensor([ids]), torch.tensor([[kept[id_] for id_ in ids]])
    assert torch.equal(small_model.hidden(batch), model.hidden(old_batch))
    assert torch.equal(small_model.head.weight, model.head.weight[kept])
    torch.testing.assert_close(
        small_model(batch), model(old_batch)[..., kept], atol=1e-5, rtol=0
    )  # fmt: skip
    assert small_model.config.vocab_size == small.vocab_size == len(kept)


def test_the_largest_difference_sees_a_changed_row(pair, extended):
    (model, old), (longer_model, _) = pair, extended
    kept = range(old.vocab_size)
    assert largest_difference(model, longer_model, kept) < 1e-5
    sources = [[id_] for id_ in kept]
    sources[7] = [8]
    assert largest_difference(model, with_rows(model, sources), kept) > 1e-3


def test_means_of_half_precision_rows_are_rounded_once():
    rows = torch.tensor([[1.0], [1.0078125], [1.015625]], dtype=torch.bfloat16)
    assert means(rows, [[2], [0, 1, 1]]).tolist() == [[1.015625], [1.0078125]]


# The directories that are written


@pytest.mark.parametrize("name", ["llama-like", "gpt-2-small"])
def test_transformers_reads_the_same_ids_and_logits(name: str, tmp_path: Path):
    folder = published.write(published.smollm(), tmp_path / "tokenizer")
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    old = Tokenizer.load(folder)
    model = GPT(preset(name, vocab_size=old.vocab_size, **SIZES)).eval()
    longer = extend(model, old, WORDS)
    text = "Mia is in the garden, 仲裁委员会 the plaintiff.<|im_end|>"
    small = shrink(*longer, longer[1].encode(text))[:2]
    for pair in (longer, small):
        assert groundup.save(*pair, tmp_path / "m") == {"llama-like": "llama"}.get(name, "gpt2")
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
        ids = AutoTokenizer.from_pretrained(tmp_path / "m")(text, return_tensors="pt")["input_ids"]
        assert ids[0].tolist() == pair[1].encode(text)
        with torch.no_grad():
            torch.testing.assert_close(theirs(ids).logits, pair[0](ids), atol=1e-4, rtol=0)
        loaded, its_tokenizer = groundup.load(tmp_path / "m")
        assert torch.equal(loaded(ids), pair[0](ids))
        ends = json.loads((tmp_path / "m/generation_config.json").read_text())["eos_token_id"]
        assert ends == sorted(its_tokenizer.end_ids) == sorted(pair[1].end_ids)
        assert [its_tokenizer.token_bytes(id_) for id_ in ends][0] == b"<|endoftext|>"


def test_the_figures_say_what_was_added_and_what_was_left_out(pair):
    model, old = pair
    longer = extend(model, old, WORDS)
    texts = ["仲裁委员会 and 仲裁委员会 of the plaintiff"]
    counted = usage(old, texts), usage(longer[1], texts)
    told = figures(pair, longer, range(old.vocab_size), counted)
    assert told["vocab_size_after"] == told["vocab_size_before"] + 4
    rows = word_rows(old, WORDS, counted[1])
    assert [row["times"] for row in rows] == [0, 2, 1, 0]
    assert told["tokens_before"] - told["tokens_after"] == sum(row["saved"] for row in rows)
    assert "".join(rows[1]["pieces"]) == "仲裁委员会" and rows[1]["id"] == old.vocab_size + 1
    matrices = 1 if model.config.tie_embeddings else 2
    added = longer[0].config.vocab_size - model.config.vocab_size
    assert told["parameters_after"] - told["parameters_before"] == added * matrices * 32
    assert told["bytes_after"] == 4 * told["parameters_after"]
    assert told["largest_logit_difference"] < 1e-5


def test_published_weights_answer_as_before_with_words_and_without_the_rest(smollm2: Path):
    model, old = groundup.load(smollm2)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    chat = old.encode_chat(question, add_generation_prompt=True)
    longer_model, longer = extend(model, old, ["取保候审", " estoppel"])
    assert longer.encode_chat(question, add_generation_prompt=True) == chat
    assert longer.encode("plead estoppel") == [*old.encode("plead"), 49_153]
    text = "What is the capital of France?\nThe capital of France is Paris."
    small_model, small, kept = shrink(model, old, old.encode(text))
    small_chat = small.encode_chat(question, add_generation_prompt=True)
    assert [kept[id_] for id_ in small_chat] == chat and small.vocab_size < 1000
    with torch.no_grad():
        logits = model(torch.tensor([chat]))
        assert torch.equal(longer_model(torch.tensor([chat]))[..., :49_152], logits)
        their = small_model(torch.tensor([small_chat]))
    torch.testing.assert_close(their, logits[..., kept], atol=1e-4, rtol=0)
    assert small.token_bytes(int(their[0, -1].argmax())) == b"The"  # capital of France is Paris
