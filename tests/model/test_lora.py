"""Adapters: the numbers of PEFT's, what merging and switching leave alone, and what is trained."""

from pathlib import Path

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.linear import Linear
from groundup.model.lora import (
    Dora,
    Lora,
    LoraConfig,
    LoraLinear,
    absorb,
    adapter_names,
    adapter_parameters,
    add_lora,
    count_parameters,
    dense_parameters,
    linear_layers,
    merge,
    unmerge,
    use_adapter,
    use_adapters,
)
from groundup.model.presets import preset
from groundup.model.quantized import quantize
from groundup.train.checkpoint import TrainState, begin_checkpoint, load_checkpoint
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run
from groundup.train.objectives import next_token
from groundup.train.optimizers import Muon, build_optimizers

CLOSE = {"atol": 1e-5, "rtol": 0.0}
KINDS = {
    "lora": {}, "rslora": {"rslora": True}, "dora": {"dora": True},
    "rsdora": {"rslora": True, "dora": True},
}  # fmt: skip


def small_model(name: str = "llama-like", **more: object) -> GPT:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 32, "vocab_size": 60}
    return GPT(preset(name, **{**sizes, **more})).eval()


def shake(model: GPT, adapter: str | None = None, seed: int = 1) -> GPT:
    """Give adapters numbers that matter, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter_parameters(model, adapter).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def adapted(kind: str = "lora", name: str = "llama-like", **more: object) -> GPT:
    model = small_model(name)
    add_lora(model, LoraConfig.parse({"rank": 4, **KINDS[kind], **more}))
    return shake(model)


def ids(seed: int = 0) -> Tensor:
    return torch.randint(0, 60, (2, 20), generator=torch.Generator().manual_seed(seed))


# PEFT's numbers


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 40), out=st.integers(1, 40), rank=st.integers(1, 12),
    alpha=st.integers(1, 64), bias=st.booleans(), kind=st.sampled_from(sorted(KINDS)),
)  # fmt: skip
def test_values_and_gradients_are_those_of_peft(
    width: int, out: int, rank: int, alpha: int, bias: bool, kind: str
):
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(width, out, bias=bias))
    base = Linear(width, out, bias=bias).requires_grad_(False)
    base.load_state_dict(theirs[0].state_dict())
    flags = {f"use_{key}": value for key, value in KINDS[kind].items()}
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"], **flags)
    peft.inject_adapter_in_model(config, theirs)
    layer = theirs[0]
    ours = (Dora if "dora" in kind else Lora)(base, rank, float(alpha), 0.0, "rs" in kind)
    pairs = [(ours.a, layer.lora_A.default.weight), (ours.b, layer.lora_B.default.weight)]
    if isinstance(ours, Dora):
        pairs.append((ours.magnitude, layer.lora_magnitude_vector.default.weight))
    with torch.no_grad():
        for mine, other in pairs:
            mine.add_(torch.randn_like(mine) * 0.1)
            other.copy_(mine)
    x = torch.randn(2, 3, width, requires_grad=True)
    mine, other = ours(x, base(x), base), theirs(x)
    torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
    wanted = torch.autograd.grad(other.square().mean(), [x, *(p for _, p in pairs)])
    given_ = torch.autograd.grad(mine.square().mean(), [x, *(p for p, _ in pairs)])
    torch.testing.assert_close(given_, wanted, atol=1e-5, rtol=1e-5)


def test_a_new_adapter_begins_as_peft_begins_and_changes_nothing():
    model = small_model()
    before = model(ids())
    add_lora(model, LoraConfig(rank=8))
    assert torch.equal(model(ids()), before)
    for name, parameter in adapter_parameters(model).items():
        bound = parameter.shape[-1] ** -0.5
        assert parameter.abs().max() == 0 if name.endswith(".b") else parameter.abs().max() <= bound


def test_a_row_of_zeros_stays_one_under_dora():
    base = Linear(6, 3)
    nn.init.zeros_(base.weight)
    lora = Dora(base, 2, 4.0, 0.0, False)
    x = torch.randn(4, 6)
    assert torch.equal(lora(x, base(x), base), base.bias.expand(4, 3))


# Merging and switching


@pytest.mark.parametrize("cap", [None, 2.0])
@torch.no_grad()
def test_each_row_of_a_batch_can_have_an_adapter_of_its_own(cap: float | None):
    model = small_model(logit_softcap=cap)
    add_lora(model, LoraConfig(targets=["*"]), "law")
    add_lora(model, LoraConfig(targets=["query", "down"], dora=True), "medicine")
    shake(model)
    names = ["law", None, "medicine", "law"]
    given = torch.randint(0, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    with use_adapters(model, names):
        together = model(given)
    for row, name in enumerate(names):
        with use_adapter(model, name):
            torch.testing.assert_close(together[row], model(given[row : row + 1])[0], **CLOSE)
    last = model(given)  # the context is over: the newest adapter is at work on all rows again
    torch.testing.assert_close(last[2], together[2], **CLOSE)
    assert not torch.allclose(last[0], together[0])


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["llama-like", "gpt-2-small"])
@pytest.mark.parametrize("bits", [None, 4])
def test_merged_is_unmerged_and_unmerging_gives_the_very_bits(
    kind: str, name: str, bits: int | None
):
    model = small_model(name)
    if bits:
        quantize(model, bits)
    add_lora(model, LoraConfig.parse({"rank": 4, **KINDS[kind]}))
    shake(model)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    with torch.enable_grad():  # without, a kernel in bfloat16 multiplies the codes of 4 bits
        apart = model(ids())
        merge(model)
        torch.testing.assert_close(model(ids()), apart, **CLOSE)
        unmerge(model)
        assert torch.equal(model(ids()), apart)
    assert all(torch.equal(tensor, state[n]) for n, tensor in model.state_dict().items())


@torch.no_grad()
def test_several_adapters_share_a_base_and_take_turns():
    model = small_model()
    plain = model(ids())
    given_ = {None: plain}
    for seed, name in enumerate(("law", "medicine")):
        add_lora(model, LoraConfig(rank=2 + seed, targets=["query", "down"][: seed + 1]), name)
        shake(model, name, seed)
        given_[name] = model(ids())
    assert adapter_names(model) == ["law", "medicine"]
    for name in ("law", None, "medicine", "law"):
        use_adapter(model, name)
        assert torch.equal(model(ids()), given_[name])
        assert name is None or (model(ids()) - plain).abs().max() > 1e-3


@torch.no_grad()
def test_a_context_puts_back_what_was_at_work_merged_or_not():
    model = adapted()
    add_lora(model, LoraConfig(rank=2), "other")
    shake(model, "other")
    use_adapter(model, "default")
    merge(model)
    before = model(ids())
    with use_adapter(model, "other"):
        other = model(ids())
        with use_adapter(model, None):
            assert torch.equal(model(ids()), small_model()(ids()))
        assert torch.equal(model(ids()), other)
    assert torch.equal(model(ids()), before)
    with pytest.raises(ZeroDivisionError), use_adapter(model, None):
        _ = 1 / 0
    assert torch.equal(model(ids()), before)


def test_training_takes_the_adapter_out_of_the_merged_matrix():
    model = adapted()
    merge(model)
    next_token(model.train(), ids()).backward()
    assert all(p.grad is not None for p in adapter_parameters(model).values())


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_an_absorbed_adapter_leaves_a_plain_model(kind: str):
    model = adapted(kind, "gpt-2-small")
    wanted = model(ids())
    names = list(small_model("gpt-2-small").state_dict())
    absorb(model)
    assert list(model.state_dict()) == names and not adapter_names(model)
    torch.testing.assert_close(model(ids()), wanted, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
def test_dense_parameters_are_those_of_a_plain_model_that_does_the_same(tied: bool):
    model = small_model(tie_embeddings=tied)
    quantize(model, 8)
    add_lora(model, LoraConfig(targets=["query", "up"]))
    shake(model)
    dense = dense_parameters(model)
    plain = small_model(tie_embeddings=tied)
    assert list(dense) == [name for name, _ in plain.named_parameters()]
    for name, parameter in plain.named_parameters():
        parameter.copy_(dense[name])
    torch.testing.assert_close(plain(ids()), model(ids()), **CLOSE)


# What is adapted


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (["blocks.*"], 14), (["query"], 2), (["attention.*"], 8), (["blocks.1.*"], 7),
        (["query", "value"], 4), (["*"], 15), (["head"], 1), (["attention.query", "query"], 2),
        (["blocks.0.feed_forward.gate"], 1), (["attention.[qk]*"], 4),
    ],
)  # fmt: skip
def test_patterns_name_layers_or_ends_of_names(targets: list[str], found: int):
    model = small_model(tie_embeddings=False)
    add_lora(model, LoraConfig(targets=targets))
    assert sum(isinstance(part, LoraLinear) for part in model.modules()) == found
    assert len(linear_layers(model)) == 15


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("qurey", "did you mean 'query'?"), ("q_proj", "known: "), ("feedforward.up", "feed_forward.up")],
)  # fmt: skip
def test_a_pattern_that_names_nothing_is_refused_with_the_nearest(pattern: str, said: str):
    model = small_model()
    with pytest.raises(InputError) as error:
        add_lora(model, LoraConfig(targets=["query", pattern]))
    assert repr(pattern) in str(error.value) and said in str(error.value)
    assert not adapter_names(model) and all(p.requires_grad for p in model.parameters())


def test_a_tied_head_is_no_layer_of_its_own():
    with pytest.raises(InputError, match="'head'"):
        add_lora(small_model(tie_embeddings=True), LoraConfig(targets=["head"]))


@pytest.mark.parametrize("cap", [None, 5.0])
def test_an_adapter_on_the_head_learns_through_the_loss_that_takes_its_matrix(cap: float | None):
    model = small_model(tie_embeddings=False, logit_softcap=cap)
    add_lora(model, LoraConfig(targets=["head"]))
    shake(model)
    window = ids()
    loss = next_token(model, window)
    direct = nn.functional.cross_entropy(
        model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten()
    )
    torch.testing.assert_close(loss, direct)
    parameters = list(adapter_parameters(model).values())
    torch.testing.assert_close(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(direct, parameters)
    )


def test_names_that_are_taken_unknown_or_none_are_refused():
    model = adapted()
    for name in ("default", "a.b", "", "keys", "a b"):
        with pytest.raises(InputError, match="adapter"):
            add_lora(model, LoraConfig(), name)
    with pytest.raises(InputError, match="did you mean 'default'"):
        use_adapter(model, "defualt")
    with pytest.raises(InputError, match="no less than|above"):
        LoraConfig.parse({"rank": 0})


@pytest.mark.parametrize("parts", [
    {"experts": {"count": 4, "active": 2, "d_ff": 16, "shared_d_ff": 8}},
    {"layer_pattern": ["linear", "window"], "window": 8},
    {"latent": {"kv_rank": 16, "rope_dim": 8, "value_dim": 16, "query_rank": 8}, "head_dim": 24},
])  # fmt: skip
def test_every_kind_of_model_takes_adapters_and_fewer_bits(parts: dict):
    model = small_model("nano", n_heads=2, **parts)
    quantize(model, 4)
    add_lora(model, LoraConfig())
    shake(model.train())
    next_token(model, ids()).backward()
    reached = [
        p.grad is not None for n, p in adapter_parameters(model).items() if "expert" not in n
    ]
    assert all(reached)


# Training


def test_dropout_is_for_training_alone():
    model = adapted(dropout=0.5)
    assert torch.equal(model(ids()), model(ids()))
    model.train()
    assert not torch.equal(model(ids()), model(ids()))
    late = small_model()
    add_lora(late, LoraConfig(dropout=0.5))
    shake(late)
    assert torch.equal(late(ids()), late(ids()))  # a model that is not in training stays so


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_only_the_adapter_is_trained_and_by_adamw(optimizer: str):
    model = small_model()
    add_lora(model, LoraConfig(dora=True))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == set(adapter_parameters(model))
    (adamw,) = build_optimizers(model, TrainConfig(optimizer=optimizer, weight_decay=0.1))
    assert isinstance(adamw, torch.optim.AdamW)
    factors, magnitudes = adamw.param_groups
    assert {p.ndim for p in factors["params"]} == {2} and factors["weight_decay"] == 0.1
    assert {p.ndim for p in magnitudes["params"]} == {1} and magnitudes["weight_decay"] == 0.0
    assert sum(len(group["params"]) for group in adamw.param_groups) == len(trained)


def test_what_is_trained_beside_an_adapter_keeps_its_optimiser():
    model = small_model()
    add_lora(model, LoraConfig(targets=["query"]))
    model.blocks[1].feed_forward.requires_grad_(True)
    muon, adamw = build_optimizers(model, TrainConfig())
    assert isinstance(muon, Muon) and len(muon.param_groups[0]["params"]) == 3
    assert len(adamw.param_groups[0]["params"]) == 4


def test_a_step_moves_the_adapter_and_no_bit_of_the_base():
    model = small_model()
    add_lora(model, LoraConfig())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    run = start_run(model, TrainConfig(device="cpu"))
    for _ in range(2):  # in the first only B has a gradient, as B = 0
        next_token(model, ids()).backward()
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.zero_grad()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != (".adapters." in name), name


def test_a_checkpoint_holds_the_adapter_alone_and_resumes_to_the_same_bits(tmp_path: Path):
    model = adapted()
    optimizers = build_optimizers(model, TrainConfig())
    next_token(model, ids()).backward()
    optimizers[0].step()
    writing = begin_checkpoint(tmp_path, model, optimizers, TrainState(step=1), "same", keep=1)
    writing.wait()
    path = writing.path
    kept = sum(p.numel() for p in adapter_parameters(model).values()) * 3  # with AdamW's two means
    assert sum(file.stat().st_size for file in path.iterdir()) < 4 * kept + 40_000

    again = adapted()
    resumed = build_optimizers(again, TrainConfig())
    assert load_checkpoint(path, again, resumed, "same").step == 1
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert resumed[0].state_dict()["state"].keys() == optimizers[0].state_dict()["state"].keys()

    for different in (small_model(), adapted(targets=["query"])):
        with pytest.raises(InputError, match="other parameters"):
            load_checkpoint(path, different, resumed, "same")


def test_parameters_are_counted():
    model = small_model(tie_embeddings=True)
    total = sum(p.numel() for p in model.parameters())
    assert count_parameters(model) == (total, total)
    add_lora(model, LoraConfig(rank=2, targets=["query"]))
    assert count_parameters(model) == (2 * 2 * (32 + 32), total + 2 * 2 * (32 + 32))
    assert count_parameters(quantize(model, 4)).all == total + 2 * 2 * (32 + 32)
