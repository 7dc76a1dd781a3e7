"""Heads, columns and layers: taking one away is the same as silencing it, and the result is a model like
any other."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groundup.compress.config import PruneConfig
from groundup.compress.prune import prune
from groundup.compress.structured import (
    feed_forwards,
    input_gradients,
    keep_columns,
    keep_heads,
    keep_layers,
    loss_of,
    remove_columns,
    remove_heads,
    remove_layers,
)
from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.places import Places
from groundup.model.presets import preset
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.objectives import next_token
from groundup.weights.directory import load, save

from .test_masks import small_model, windows

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
FAMILIES = {
    "llama": {}, "multi-head": {"n_kv_heads": 4}, "gated": {"attention_gate": True},
    "biases": {"bias": True, "norm": "layernorm"}, "qk-norm": {"qk_norm": True},
    "gelu": {"feed_forward": "gelu", "bias": True, "position": "learned", "norm": "layernorm"},
    "sandwich": {"norm_place": "sandwich"}, "post": {"norm_place": "post"},
    "tied": {"tie_embeddings": True}, "short-conv": {"short_conv": 2},
    "softcap": {"logit_softcap": 5.0, "attention_softcap": 20.0},
}  # fmt: skip


def random_model(**more: object) -> GPT:
    """With numbers in the biases and norms as well."""
    model = small_model(n_layers=3, **more)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def ids() -> Tensor:
    return windows(1)[0]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_heads_that_go_are_output_columns_of_zeros(family: str):
    model = random_model(**FAMILIES[family])
    group = 4 // model.config.n_kv_heads
    kept = {}
    for layer in range(3):  # another group of heads in each layer
        keys = torch.tensor([n for n in range(model.config.n_kv_heads) if n != layer % 2])
        heads = (keys[:, None] * group + torch.arange(group)).flatten()
        kept[f"{layer}.attention"] = (heads, keys)
    smaller = keep_heads(model, kept)
    for name, (heads, _) in kept.items():
        output = model.blocks.get_submodule(name).output.weight.view(32, 4, 8)
        gone = [head for head in range(4) if head not in heads.tolist()]
        output[:, gone] = 0
    assert smaller.config.n_heads == len(heads)
    assert smaller.blocks[0].attention.query.weight.shape == (len(heads) * 8, 32)
    torch.testing.assert_close(smaller(ids()), model(ids()), **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_columns_that_go_are_columns_of_zeros(family: str):
    model = random_model(d_ff=24, **FAMILIES[family])
    generator = torch.Generator().manual_seed(5)
    kept = {
        name: torch.randperm(24, generator=generator)[:10].sort().values
        for name in feed_forwards(model)
    }
    smaller = keep_columns(model, kept)
    for name, columns in kept.items():
        gone = [column for column in range(24) if column not in columns.tolist()]
        model.blocks.get_submodule(name).down.weight[:, gone] = 0
    assert smaller.config.d_ff == 10
    torch.testing.assert_close(smaller(ids()), model(ids()), **CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_layers_that_go_are_layers_skipped(family: str):
    model = random_model(**FAMILIES[family])
    smaller = keep_layers(model, [0, 2])
    places = Places(ids(), None, None, None)
    x = model.position(model.embedding(ids()) * model.embedding_scale, places)
    for layer in (0, 2):
        x = model.blocks[layer](x, places)
    torch.testing.assert_close(smaller(ids()), model.head(model.final_norm(x)), **CLOSE)
    of_text = loss_of(model, windows(), [0, 2])
    assert of_text == pytest.approx(loss_of(smaller, windows(), [0, 1]), abs=1e-5)
    assert len(model.blocks) == 3


@torch.no_grad()
def test_layers_keep_their_kind_of_attention():
    kinds = ["window", "window", "full"]
    model = random_model(layer_pattern=kinds, window=3)
    smaller = keep_layers(model, [1, 2])
    assert [smaller.config.layer_kind(layer) for layer in range(2)] == ["window", "full"]
    blocks, model.blocks = model.blocks, torch.nn.ModuleList([model.blocks[1], model.blocks[2]])
    torch.testing.assert_close(smaller(ids()), model(ids()), **CLOSE)
    model.blocks = blocks


def test_layers_keep_their_experts():
    experts = {"count": 4, "active": 2, "d_ff": 8, "dense_layers": 1}
    smaller = keep_layers(random_model(experts=experts), [1, 2])
    assert smaller.config.experts.dense_layers == 0
    every_other = random_model(experts={**experts, "dense_layers": 0, "every": 2})
    with pytest.raises(InputError, match="take turns"):
        keep_layers(every_other, [0, 2])


@pytest.mark.parametrize("family", ["llama", "biases", "gelu"])
def test_gradients_on_inputs_are_how_the_loss_moves_with_them(family: str):
    model = random_model(**FAMILIES[family]).double()
    downs = {name: layer.down for name, layer in feed_forwards(model).items()}
    found = input_gradients(model, downs, windows(2))
    step, weight = 1e-5, downs["1.feed_forward"].weight
    for column in (0, 7):
        losses = []
        for change in (step, -step):
            with torch.no_grad():
                before = weight[:, column].clone()
                weight[:, column] *= 1 + change
                losses.append(next_token(model, windows(2)[1]).item())
                weight[:, column] = before
        slope = (losses[0] - losses[1]) / (2 * step)
        assert found["1.feed_forward"][1, column].item() == pytest.approx(slope, abs=1e-8)


@torch.no_grad()
def test_a_head_and_columns_that_say_nothing_are_the_first_to_go():
    model = random_model(d_ff=24, n_kv_heads=4)
    for block in model.blocks:
        block.attention.output.weight.view(32, 4, 8)[:, 2] = 0
        block.feed_forward.down.weight[:, 5:17] = 0
    with torch.enable_grad():
        fewer_heads = remove_heads(model, 0.25, windows())
        fewer_columns = remove_columns(model, 0.5, windows())
    assert (fewer_heads.config.n_heads, fewer_columns.config.d_ff) == (3, 12)
    torch.testing.assert_close(fewer_heads(ids()), model(ids()), **CLOSE)
    torch.testing.assert_close(fewer_columns(ids()), model(ids()), **CLOSE)


def test_one_after_another_the_layer_goes_without_which_the_loss_is_least():
    model = random_model(n_kv_heads=4)
    kept = [0, 1, 2]
    for count in (1, 2):
        losses = {one: loss_of(model, windows(), [n for n in kept if n != one]) for one in kept}
        assert len(set(losses.values())) == len(kept)
        kept.remove(min(losses, key=lambda one: losses[one]))
        with torch.no_grad():
            smaller = remove_layers(model, count / 3, windows())
            torch.testing.assert_close(smaller(ids()), keep_layers(model, kept)(ids()))


@given(st.sampled_from([(4, 2), (8, 2), (8, 4), (6, 3), (4, 1), (6, 6)]), st.data())
@settings(max_examples=25, deadline=None)
def test_heads_go_evenly_or_not_at_all(sizes: tuple[int, int], data: st.DataObject):
    heads, kv_heads = sizes
    removed = data.draw(st.integers(1, heads - 1))
    torch.manual_seed(0)
    model = GPT(
        preset("llama-like", d_model=24, n_layers=1, n_heads=heads, n_kv_heads=kv_heads, head_dim=4,
               context_length=16, vocab_size=50)
    )  # fmt: skip
    if removed % kv_heads and removed % (heads // kv_heads):
        with pytest.raises(InputError, match="evenly"):
            remove_heads(model, removed / heads, windows())
        return
    smaller = remove_heads(model, removed / heads, windows())
    assert smaller.config.n_heads == heads - removed
    assert smaller(ids()).shape == (2, 13, 50)
    assert smaller.config.head_dim == 4


def test_the_hint_for_heads_that_do_not_divide_is_one_that_does():
    model = small_model(n_heads=8, n_kv_heads=4, head_dim=4)
    with pytest.raises(InputError, match="3 of 8 heads") as caught:
        remove_heads(model, 0.375, windows())
    fix = float(str(caught.value.fix).split()[-1])
    assert remove_heads(model, fix, windows()).config.n_heads == 8 * (1 - fix)


@pytest.mark.parametrize(
    ("pattern", "sparsity", "said"),
    [
        ("layers", 0.1, "takes 0 of 2 layers"), ("layers", 0.9, "takes 2 of 2 layers"),
        ("heads", 0.05, "takes 0 of 4 heads"), ("columns", 0.999, "takes 32 of 32 columns"),
    ],
)  # fmt: skip
def test_nothing_and_everything_are_refused(pattern: str, sparsity: float, said: str):
    with pytest.raises(InputError, match=said):
        prune(small_model(d_ff=32), PruneConfig(pattern=pattern, sparsity=sparsity), windows())


def test_heads_that_are_normed_together_cannot_go():
    model = small_model(qk_norm=True, qk_norm_scope="all")
    with pytest.raises(InputError, match="norms all heads together"):
        remove_heads(model, 0.5, windows())


def test_latent_attention_and_experts_are_refused():
    latent = small_model(latent={"kv_rank": 16, "rope_dim": 4, "value_dim": 8}, head_dim=8)
    with pytest.raises(InputError, match="no heads can be taken"):
        remove_heads(latent, 0.5, windows())
    with pytest.raises(InputError, match="are experts"):
        remove_columns(small_model(experts={"count": 4}), 0.5, windows())


@pytest.mark.parametrize("pattern", ["heads", "columns", "layers", "magnitude"])
@pytest.mark.parametrize("name", ["llama-like", "gpt-2-small", "nano"])
def test_saved_and_loaded_again_it_says_the_same(
    name: str, pattern: str, tokenizer: Tokenizer, tmp_path: Path
):
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layers": 4, "n_heads": 4, "context_length": 16}
    model = GPT(preset(name, **sizes, vocab_size=tokenizer.vocab_size, initialization="gpt-2"))
    pruned = prune(model, PruneConfig(pattern=pattern, sparsity=0.5), windows())
    save(pruned.model, tokenizer, tmp_path / "model")
    again, _ = load(tmp_path / "model")
    assert again.config == pruned.model.config
    assert pruned.sparsity == 0.5
    with torch.no_grad():
        torch.testing.assert_close(again(ids()), pruned.model.eval()(ids()))


def test_the_first_model_keeps_its_own_weights():
    model = random_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    smaller = keep_layers(model, [0, 1])
    with torch.no_grad():
        for parameter in smaller.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
