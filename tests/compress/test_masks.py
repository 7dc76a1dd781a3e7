"""Single weights: exactly as many go as are asked for, the right ones, and text decides where it should."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from groundup.compress.config import PruneConfig
from groundup.compress.masks import (
    apply_masks,
    choose,
    input_norms,
    lowest,
    magnitudes,
    masks_of,
    prunable,
    pruned_share,
    wanda_scores,
)
from groundup.compress.prune import needs_text, prune
from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.model.quantized import quantize

SHAPES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 5).map(lambda n: 4 * n)), min_size=1, max_size=4
)


def small_model(**more: object) -> GPT:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "context_length": 16, "vocab_size": 50}
    return GPT(preset("llama-like", **{**sizes, **more})).eval()


def windows(count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(50, (2, 13), generator=generator) for _ in range(count)]


@st.composite
def random_scores(draw: st.DrawFn) -> dict[str, Tensor]:
    """Scores of a few values only, so that many are equal."""
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    shapes = draw(SHAPES)
    levels = draw(st.integers(1, 6))
    return {
        str(i): torch.from_numpy(generator.integers(levels, size=shape)).float()
        for i, shape in enumerate(shapes)
    }


@given(random_scores(), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_exactly_the_asked_share_of_the_model_goes_and_it_is_the_lowest(scores, sparsity):
    masks = choose(scores, sparsity, "model")
    stay = torch.cat([mask.flatten() for mask in masks.values()])
    values = torch.cat([part.flatten() for part in scores.values()])
    assert int((~stay).sum()) == round(sparsity * len(stay))
    if (~stay).any() and stay.any():
        assert values[~stay].max() <= values[stay].min()


@given(random_scores(), st.floats(0, 1, exclude_max=True), st.sampled_from(["matrix", "row"]))
@settings(deadline=None)
def test_each_matrix_or_row_loses_exactly_its_share(scores, sparsity, within):
    for name, mask in choose(scores, sparsity, within).items():
        groups = mask.view(1, -1) if within == "matrix" else mask
        assert (~groups).sum(1).tolist() == [round(sparsity * groups.shape[1])] * len(groups)
        of = scores[name].view_as(groups)
        for group, value in zip(groups, of, strict=True):
            if (~group).any() and group.any():
                assert value[~group].max() <= value[group].min()


@given(random_scores())
@settings(deadline=None)
def test_two_of_each_four_neighbours_stay(scores):
    for name, mask in choose(scores, 0.5, "2:4").items():
        fours, of = mask.view(-1, 4), scores[name].view(-1, 4)
        assert (fours.sum(1) == 2).all()
        assert (of[fours].view(-1, 2).amin(1) >= of[~fours].view(-1, 2).amax(1)).all()


@given(st.integers(0, 7), st.integers(0, 100))
@settings(deadline=None)
def test_the_lowest_are_those_that_sorting_finds(count, seed):
    scores = torch.rand(3, 7, generator=torch.Generator().manual_seed(seed))
    found = lowest(scores, count)
    for row, of in zip(found, scores, strict=True):
        assert row.nonzero()[:, 0].tolist() == sorted(of.argsort()[:count].tolist())


@pytest.mark.parametrize("pattern", ["magnitude", "magnitude-layer", "wanda", "2:4", "2:4-wanda"])
def test_all_patterns_leave_exact_zeros_in_the_blocks_and_the_rest_alone(pattern: str):
    model, before = small_model(), small_model().state_dict()
    pruned = prune(model, PruneConfig(pattern=pattern, sparsity=0.5), windows())
    after = pruned.model.state_dict()
    zeros = sum(int((after[f"blocks.{n}.weight"] == 0).sum()) for n in prunable(model))
    assert zeros == sum(layer.weight.numel() for layer in prunable(model).values()) // 2
    assert pruned.sparsity == 0.5
    for name, tensor in after.items():
        stays = tensor != 0
        assert torch.equal(tensor[stays], before[name][stays])
    for name in ("embedding.weight", "head.weight", "final_norm.weight"):
        assert torch.equal(after[name], before[name])
    assert masks_of(model).keys() == pruned.masks.keys()
    assert all(torch.equal(mask, pruned.masks[n]) for n, mask in masks_of(model).items())


def test_norms_are_those_of_the_inputs_that_a_layer_really_gets():
    model, batches = small_model(), windows(3)
    block = model.blocks[1]
    seen: list[Tensor] = []
    handle = block.feed_forward.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for ids in batches:
            model(ids)
    handle.remove()
    direct = torch.cat([x.reshape(-1, 32) for x in seen]).norm(dim=0)
    norms = input_norms(model, batches)
    torch.testing.assert_close(norms["1.feed_forward.up"], direct)
    scores = wanda_scores(model, batches)["1.feed_forward.up"]
    torch.testing.assert_close(scores, block.feed_forward.up.weight.detach().abs() * direct)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_wanda_keeps_the_output_closer_than_size_does_where_inputs_differ_in_size():
    torch.manual_seed(0)
    model = small_model()
    with torch.no_grad():  # a norm that makes a few inputs of the feed-forward fifty times as large
        model.blocks[0].feed_forward_norm.weight[::8] = 50.0
    ids = windows(4)
    inputs: list[Tensor] = []
    up = model.blocks[0].feed_forward.up
    handle = up.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        for batch in ids:
            model(batch)
    handle.remove()
    x = torch.cat([part.reshape(-1, 32) for part in inputs])
    name, weight = "0.feed_forward.up", up.weight.detach()

    def error(scores: dict[str, Tensor]) -> float:
        mask = choose({name: scores[name]}, 0.5, "row")[name]
        return ((x @ (weight * mask).T) - x @ weight.T).square().sum().item()

    assert error(wanda_scores(model, ids)) < 0.5 * error(magnitudes(model))


def test_pruning_further_never_brings_a_weight_back():
    model = small_model()
    first = prune(model, PruneConfig(sparsity=0.3), []).masks
    second = prune(model, PruneConfig(sparsity=0.6), []).masks
    assert all(not (second[name] & ~first[name]).any() for name in first)


def test_routers_of_experts_are_left_alone():
    model = small_model(experts={"count": 4, "active": 2, "d_ff": 8})
    names = set(prunable(model))
    assert "0.feed_forward.experts.3.up" in names
    assert not any("router" in name for name in names)


def test_a_matrix_that_was_never_trained_is_not_taken_for_pruned():
    model = small_model(initialization="zero-residual")  # its output matrices begin as zeros
    assert masks_of(model) == {}
    masks = choose(magnitudes(model), 0.5, "row")
    apply_masks(model, {"0.attention.query": masks["0.attention.query"]})
    assert list(masks_of(model)) == ["0.attention.query"]


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_that_there_is_not_is_refused(sparsity: float):
    with pytest.raises(InputError, match="sparsity"):
        choose(magnitudes(small_model()), sparsity, "model")


def test_two_of_four_needs_rows_of_whole_fours():
    model = small_model(d_ff=30)
    with pytest.raises(InputError, match="rows here have 30") as caught:
        prune(model, PruneConfig(pattern="2:4"), [])
    assert caught.value.where == "blocks.0.feed_forward.down"
    assert not any((layer.weight == 0).any() for layer in prunable(model).values())


def test_two_of_four_is_half():
    with pytest.raises(InputError, match="takes half of the weights, not 0.3"):
        prune(small_model(), PruneConfig(pattern="2:4", sparsity=0.3), [])


@pytest.mark.parametrize("pattern", ["wanda", "2:4-wanda", "heads", "columns", "layers"])
def test_what_needs_a_text_says_so(pattern: str):
    assert needs_text(pattern)
    with pytest.raises(InputError, match="there is none") as caught:
        prune(small_model(), PruneConfig(pattern=pattern), [])
    assert "--calibration" in str(caught.value)


def test_a_quantised_model_has_no_matrices_to_prune():
    with pytest.raises(InputError, match="no matrices to prune"):
        prune(quantize(small_model(), 8), PruneConfig(), [])


def test_the_share_is_counted_over_all_masks():
    masks = {"a": torch.tensor([[True, False]]), "b": torch.tensor([[False] * 6])}
    assert pruned_share(masks) == 7 / 8
    assert isinstance(small_model().blocks, nn.ModuleList)
