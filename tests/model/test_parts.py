"""The parts that newer families brought: each against its definition, and all of them causal, cached
and padded alike."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from groundup.errors import InputError
from groundup.model.config import ModelConfig
from groundup.model.delta import CHUNK, delta_rule, delta_rule_step_by_step, unit
from groundup.model.gpt import GPT
from groundup.model.layers import (
    LayerNorm,
    RMSNorm,
    gelu,
    gelu_step_by_step,
    layer_norm_step_by_step,
    rms_norm_step_by_step,
)
from groundup.model.loss import cross_entropy, softcap, token_scores
from groundup.model.places import Places
from groundup.model.positions import Rotary, frequencies, rotate_step_by_step
from groundup.train.objectives import next_token
from tests.model.pieces import in_pieces

SMALL = {
    "vocab_size": 50, "context_length": 32, "d_model": 24, "n_layers": 4, "n_heads": 4,
    "n_kv_heads": 2, "initialization": "gpt-2", "feed_forward": "swiglu",
}  # fmt: skip
MIXTURE = {"count": 4, "active": 2, "d_ff": 16}
PARTS = {
    "windows": {"layer_pattern": ["window", "window", "full"], "window": 5},
    "no rotation now and then": {"layer_pattern": ["full", "full", "full", "nope"]},
    "memory": {"layer_pattern": ["linear", "linear", "full"]},
    "latent": {"latent": {"kv_rank": 8, "query_rank": 6, "rope_dim": 4, "value_dim": 5}, "head_dim": 10},
    "experts": {"experts": MIXTURE},
    "shared experts": {
        "experts": MIXTURE | {"shared_d_ff": 8, "shared_gate": True, "dense_layers": 1, "every": 2}
    },
    "grouped experts": {"experts": MIXTURE | {"groups": 2, "renormalize": False, "scale": 2.0}},
    "sandwich": {"norm_place": "sandwich", "norm": "zero-centered-rmsnorm", "feed_forward": "geglu"},
    "output norm": {"norm_place": "output", "qk_norm": True, "qk_norm_scope": "all"},
    "soft caps": {"attention_softcap": 2.0, "logit_softcap": 3.0, "window": 4,
                  "layer_pattern": ["window", "full"]},
    "gate and half a turn": {"attention_gate": True, "rope_share": 0.5, "head_dim": 8},
    "neighbours": {"short_conv": 3, "layer_pattern": ["window", "full"], "window": 6},
    "yarn": {"rope_scaling": {"kind": "yarn", "factor": 4.0, "original_context_length": 8}},
}  # fmt: skip


def small(**parts: object) -> GPT:
    torch.manual_seed(1)
    model = GPT(ModelConfig.parse(SMALL | parts)).eval()
    with torch.no_grad():  # away from the small beginnings, at which parts hardly differ
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=PARTS)
def model(request) -> GPT:
    return small(**PARTS[request.param])


@torch.no_grad()
def test_a_changed_token_changes_nothing_before_it_and_something_after(model: GPT):
    ids = torch.randint(0, 50, (2, 20))
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 50
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9], atol=1e-6, rtol=0)
    assert not torch.allclose(before[:, 9:], after[:, 9:])


@torch.no_grad()
@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_any_pieces_with_a_cache_give_the_logits_of_the_whole(cuts: list[int]):
    for name, parts in PARTS.items():
        model = small(**parts)
        ids = torch.randint(0, 50, (2, 30))
        assert torch.allclose(in_pieces(model, ids, cuts), model(ids), atol=1e-5), name


@torch.no_grad()
def test_padding_before_a_text_changes_none_of_its_logits(model: GPT):
    long, short = torch.randint(0, 50, (1, 20)), torch.randint(0, 50, (1, 13))
    padded = torch.cat([torch.zeros(1, 7, dtype=torch.long), short], dim=1)
    batch = model(torch.cat([long, padded]), padding=torch.tensor([0, 7]))
    torch.testing.assert_close(batch[:1], model(long), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch[1:, 7:], model(short), atol=1e-5, rtol=0)


def test_every_part_learns(model: GPT):
    model.train()
    ids = torch.randint(0, 50, (2, 21))
    next_token(model, ids).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    unused = [name for name in still if "experts." not in name]  # a token does not reach them all
    assert unused == []


@settings(max_examples=20, deadline=None)
@given(time=st.integers(1, 3 * CHUNK), seed=st.integers(0, 1000))
def test_the_delta_rule_by_chunks_equals_the_one_token_by_token(time: int, seed: int):
    torch.manual_seed(seed)
    q, k = (unit(torch.randn(2, 3, time, 8)) for _ in range(2))
    v, memory = torch.randn(2, 3, time, 6), torch.randn(2, 3, 8, 6)
    write, fade = torch.rand(2, 3, time), -3 * torch.rand(2, 3, time) ** 2
    whole = delta_rule_step_by_step(q, k, v, write, fade, memory)
    for ours, wanted in zip(delta_rule(q, k, v, write, fade, memory), whole, strict=True):
        torch.testing.assert_close(ours, wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("bias", [False, True])
def test_the_norms_equal_the_steps_written_out(bias: bool, epsilon: float):
    layer_norm, rms_norm = LayerNorm(24, epsilon, bias), RMSNorm(24, epsilon)
    for parameter in [*layer_norm.parameters(), *rms_norm.parameters()]:
        nn.init.normal_(parameter)
    x = 3 * torch.randn(2, 5, 24) + 1
    x[0, 0] = 2.0  # no variance
    for norm, steps in (
        (layer_norm(x), layer_norm_step_by_step(x, layer_norm.weight, layer_norm.bias, epsilon)),
        (rms_norm(x), rms_norm_step_by_step(x, rms_norm.weight, epsilon)),
    ):
        torch.testing.assert_close(norm, steps, atol=1e-5, rtol=1e-5)


def test_gelu_equals_its_steps_written_out():
    x = torch.linspace(-8, 8, 1001)
    torch.testing.assert_close(gelu(x), gelu_step_by_step(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rest", [0, 3])
def test_rotary_turns_as_the_definition_says(rest: int):
    frequency, x = frequencies(6, 100.0).float(), torch.randn(2, 3, 5, 6 + rest)
    places = Places(torch.zeros(2, 5, dtype=torch.long), padding=torch.tensor([0, 2]))
    turned = Rotary(frequency)(x, places)
    for text, positions, ours in zip(x, places.positions, turned, strict=True):
        wanted = rotate_step_by_step(text[None], positions, frequency)[0]
        torch.testing.assert_close(ours, wanted)


def test_the_delta_memory_returns_what_was_written_under_a_key():
    k = torch.eye(4)[None, None]
    v = torch.randn(1, 1, 4, 3)
    ones, zeros = torch.ones(1, 1, 4), torch.zeros(1, 1, 4)
    _, memory = delta_rule(k, k, v, ones, zeros, torch.zeros(1, 1, 4, 3))
    torch.testing.assert_close(memory, v)
    again = torch.randn(1, 1, 4, 3)  # the same keys once more: corrected, not added up
    _, memory = delta_rule(k, k, again, ones, zeros, memory)
    torch.testing.assert_close(memory, again)


def test_the_loss_under_a_soft_cap_has_the_gradients_of_autograd():
    hidden = torch.randn(30, 8, requires_grad=True)
    head = torch.randn(20, 8, requires_grad=True)
    targets = torch.randint(0, 20, (30,))
    wanted = F.cross_entropy(softcap(hidden @ head.T, 2.0), targets)
    gradients = torch.autograd.grad(wanted, (hidden, head))
    ours = cross_entropy(hidden, head, targets, cap=2.0)
    torch.testing.assert_close(ours, wanted)
    for mine, theirs in zip(torch.autograd.grad(ours, (hidden, head)), gradients, strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(token_scores(hidden, head, targets, 2.0)[0].mean(), wanted.detach())


def test_balanced_experts_have_the_least_auxiliary_loss():
    from groundup.model.experts import balance_loss

    even = torch.full((8, 4), 0.25)
    everyone = torch.arange(8)[:, None] % 4
    favourite = torch.tensor([[0.97, 0.01, 0.01, 0.01]]).expand(8, 4)
    assert balance_loss([(even, everyone)]) == pytest.approx(1.0)
    assert balance_loss([(favourite, torch.zeros(8, 1, dtype=torch.long))]) > 3.5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layer_pattern": ["window"]}, "set window"),
        ({"latent": {"kv_rank": 4, "rope_dim": 8}, "head_dim": 8}, "latent.rope_dim"),
        ({"experts": {"count": 2, "active": 3}}, "experts.active"),
        ({"delta": {"n_key_heads": 2, "n_value_heads": 3}}, "delta.n_key_heads"),
        ({"rope_scaling": {"kind": "longrope", "short_factors": [1.0]}}, "short_factors has 1"),
        ({"rope_share": 0.5, "head_dim": 6}, "even, not 3"),
        ({"layer_pattern": []}, "layer_pattern"),
        ({"experts": {"cuont": 2}}, "did you mean 'count'"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused_with_a_reason(fields: dict, said: str):
    with pytest.raises(InputError) as error:
        ModelConfig.parse(SMALL | fields)
    assert said in str(error.value)
