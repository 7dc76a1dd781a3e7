"""What is shown of a model's inside, against the same computed another way."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.evaluate.inside import (
    attention_map,
    logit_lens,
    narrowings,
    next_logits,
    pieces,
    surprise,
)
from groundup.generation.sampling import SamplingConfig, choose, draw
from groundup.model.attention import split_heads
from groundup.model.config import DeltaConfig, LatentConfig
from groundup.model.gpt import GPT
from groundup.model.places import Places
from groundup.model.presets import preset

IDS = [5, 99, 7, 300, 12, 12, 200, 3]


def small(**changes) -> GPT:
    torch.manual_seed(0)
    sizes = {"vocab_size": 320, "d_model": 32, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2,
             "context_length": 32, "initialization": "gpt-2"}  # fmt: skip
    return GPT(preset("nano", **(sizes | changes))).eval()


@settings(deadline=None)
@given(text=st.text(max_size=30))
def test_pieces_are_the_text_and_hold_every_id_once(tokenizer, text: str):
    ids = tokenizer.encode(text, allow_special=False)
    found = pieces(tokenizer, ids)
    assert "".join(piece.text for piece in found) == tokenizer.decode(ids) == text
    assert [id_ for piece in found for id_ in piece.ids] == ids
    for piece in found:
        assert tokenizer.decode(piece.ids) == piece.text


def test_a_han_character_of_several_tokens_is_one_piece_and_half_a_one_is_told(tokenizer):
    ids = tokenizer.encode("a鑫b")
    found = pieces(tokenizer, ids)
    assert [piece.text for piece in found] == ["a", "鑫", "b"] and len(found[1].ids) == 3
    assert pieces(tokenizer, ids[:3])[-1] == ("�", ids[1:3])


@torch.inference_mode()
def test_surprise_is_minus_log2_of_the_softmax():
    model = small()
    logits = model(torch.tensor([IDS]))[0].double()
    wanted = [-math.log2(logits[i].softmax(-1)[id_]) for i, id_ in enumerate(IDS[1:])]
    assert surprise(model, IDS).tolist() == pytest.approx(wanted, rel=1e-5)
    assert surprise(model, IDS[:1]).tolist() == []


@settings(deadline=None)
@given(
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_k=st.none() | st.integers(1, 400),
    top_p=st.none() | st.floats(0.01, 1),
    min_p=st.none() | st.floats(0, 1),
    seed=st.integers(0, 2**30),
)
def test_the_last_narrowing_is_what_sampling_draws_from(temperature, top_k, top_p, min_p, seed):
    logits = torch.randn(320, generator=torch.Generator().manual_seed(seed)) * 3
    sampling = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    steps = dict(narrowings(logits, sampling))
    torch.testing.assert_close(steps["model"], logits.exp() / logits.exp().sum())
    last = list(steps.values())[-1]
    generators = [torch.Generator().manual_seed(seed)]
    past = torch.zeros(1, 1, dtype=torch.long)
    chosen = choose(logits[None], past, sampling, generators)
    assert draw(last[None], [torch.Generator().manual_seed(seed)]) == chosen
    kept = [(probabilities > 0).sum() for probabilities in steps.values()]
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("norm_place", ["pre", "post", "output", "sandwich"])
def test_the_lens_is_the_head_after_fewer_and_fewer_blocks(norm_place: str):
    model = small(norm_place=norm_place)
    found = logit_lens(model, IDS)
    assert len(found) == 4
    torch.testing.assert_close(found[-1], next_logits(model, IDS).softmax(-1))
    blocks = model.blocks
    for count in range(4):  # the same model with its later blocks taken off
        model.blocks = blocks[:count]
        torch.testing.assert_close(found[count], model(torch.tensor([IDS]))[0, -1].softmax(-1))
    model.blocks = blocks
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in blocks)


def by_hand(model: GPT, layer: int) -> torch.Tensor:
    """softmax(q kᵀ / √head_dim) of a layer, each row over the tokens that it may see."""
    row = torch.tensor([IDS])
    places, attention = Places(row), model.blocks[layer].attention
    x = model.embedding(row)
    for block in model.blocks[:layer]:
        x = block(x, places)
    x = model.blocks[layer].attention_norm(x)
    q, k = (split_heads(part(x), attention.head_dim) for part in (attention.query, attention.key))
    q = attention.rotate(attention.query_norm(q), places)[0]
    k = attention.rotate(attention.key_norm(k), places)[0]
    weights = torch.zeros(len(q), len(IDS), len(IDS))
    for head in range(len(q)):
        for i in range(len(IDS)):
            first = 0 if attention.window is None else max(0, i + 1 - attention.window)
            key = k[head * len(k) // len(q), first : i + 1]
            scores = key @ q[head, i] / attention.head_dim**0.5
            if model.config.attention_softcap:
                cap = model.config.attention_softcap
                scores = cap * torch.tanh(scores / cap)
            weights[head, i, first : i + 1] = scores.softmax(-1)
    return weights


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"n_kv_heads": 4}, {"qk_norm": True}, {"attention_softcap": 0.5},
        {"window": 3, "layer_pattern": ["window", "full"]},
    ],
)  # fmt: skip
@torch.inference_mode()
def test_attention_maps_are_the_softmax_of_the_scores(changes: dict):
    model = small(**changes)
    for part in model.modules():  # weights so small would look everywhere alike
        if isinstance(part, torch.nn.Linear):
            part.weight *= 8
    before = model(torch.tensor([IDS]))
    for layer in range(3):
        torch.testing.assert_close(
            attention_map(model, IDS, layer), by_hand(model, layer), rtol=1e-4, atol=1e-5
        )
    assert torch.equal(model(torch.tensor([IDS])), before)


def test_latent_attention_has_maps_too_and_a_memory_has_none():
    sizes = LatentConfig(kv_rank=8, rope_dim=4, value_dim=6)
    latent = small(n_kv_heads=4, head_dim=8, qk_norm=False, latent=sizes)
    found = attention_map(latent, IDS, 1)
    assert found.shape == (4, 8, 8)
    torch.testing.assert_close(found.sum(-1), torch.ones(4, 8))
    assert (found.triu(1) == 0).all()
    delta = small(layer_pattern=["linear", "full"],
                  delta=DeltaConfig(n_key_heads=2, n_value_heads=2, key_dim=8, value_dim=8))  # fmt: skip
    assert attention_map(delta, IDS, 1).shape == (4, 8, 8)
    with pytest.raises(InputError, match="memory"):
        attention_map(delta, IDS, 0)


@pytest.mark.parametrize("look", [surprise, next_logits, logit_lens])
@pytest.mark.parametrize("count", [0, 33])
def test_texts_without_tokens_and_beyond_the_context_are_refused(look, count: int):
    with pytest.raises(InputError, match=f"{count} tokens"):
        look(small(), [1] * count)
    with pytest.raises(InputError, match="no layer 9"):
        attention_map(small(), IDS, 9)
