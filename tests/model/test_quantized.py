"""Matrices in 8 and 4 bits: the packed form is the definition, small, and differentiable."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.linear import Linear
from groundup.model.lora import LoraConfig, adapter_parameters, add_lora
from groundup.model.packed import int8_product, multiplies_fast
from groundup.model.presets import preset
from groundup.model.quantized import (
    FEW_ROWS,
    GROUPS,
    Int8Linear,
    QuantizedLinear,
    dequantize,
    is_quantized,
    pack,
    quantize,
    quantize_step_by_step,
    quantize_tables,
    rounded,
    unpack,
)


def model(**more: object) -> GPT:
    torch.manual_seed(0)
    sizes = {"d_model": 64, "n_layers": 2, "n_heads": 4, "context_length": 32, "vocab_size": 60}
    return GPT(preset("llama-like", **{**sizes, **more})).eval()


def layer_of(weight: torch.Tensor) -> Linear:
    layer = Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return layer


def bytes_of(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@settings(max_examples=50, deadline=None)
@given(out=st.integers(1, 9), groups=st.integers(1, 4), bits=st.sampled_from([4, 8]),
       size=st.floats(1e-6, 1e4))  # fmt: skip
def test_the_packed_form_is_the_definition(out: int, groups: int, bits: int, size: float):
    weight = torch.randn(out, 64 * groups) * size
    weight[0, :64] = 0
    packed = rounded(layer_of(weight), bits).weight
    group = GROUPS[bits] or weight.shape[1]
    assert torch.equal(packed, quantize_step_by_step(weight, bits, group))


@settings(max_examples=50, deadline=None)
@given(out=st.integers(1, 5), width=st.integers(1, 200), bits=st.sampled_from([4, 8]))
def test_no_number_moves_further_than_half_a_step_whatever_the_width(
    out: int, width: int, bits: int
):
    weight = torch.randn(out, width)
    packed = rounded(layer_of(weight), bits)
    group = GROUPS[bits] or width
    step = packed.scales.float().repeat_interleave(group, dim=1)[:, :width]
    back = packed.weight
    assert back.shape == weight.shape
    # A scale in bfloat16 may be 1/256 too small, and 15 steps of it that much of 15 steps too short.
    slack = {8: 1e-4, 4: 2 * 15 / 256}[bits]
    assert ((back - weight).abs() <= step / 2 * (1 + slack)).all()


@given(st.lists(st.integers(0, 15), min_size=1, max_size=40))
def test_packing_keeps_every_code(codes: list[int]):
    given_ = torch.tensor([codes], dtype=torch.uint8)
    packed = pack(given_)
    assert packed.numel() == (len(codes) + 1) // 2
    assert torch.equal(unpack(packed)[:, : len(codes)], given_)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("width", [64, 100])
def test_values_and_gradients_are_those_of_the_decoded_matrix(bits: int, bias: bool, width: int):
    torch.manual_seed(0)
    packed = rounded(Linear(width, 30, bias=bias), bits)
    plain = nn.Linear(width, 30, bias=bias)
    with torch.no_grad():
        plain.weight.copy_(packed.weight)
        if bias:
            plain.bias.copy_(packed.bias)
    x = torch.randn(3, 5, width, requires_grad=True)
    mine, other = packed(x), plain(x)
    torch.testing.assert_close(mine, other)
    wanted = [x, plain.bias] if bias else [x]
    given_ = [x, packed.bias] if bias else [x]
    torch.testing.assert_close(
        torch.autograd.grad(mine.square().sum(), given_),
        torch.autograd.grad(other.square().sum(), wanted),
    )


def test_the_decoded_matrix_is_not_kept_for_the_way_back():
    layer = rounded(Linear(128, 256, bias=False), 4)
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(1, 128, requires_grad=True))
    assert sum(kept) == 0


@pytest.mark.parametrize(("bits", "share"), [(8, 1 / 4), (4, 1 / 8)])
def test_a_model_in_fewer_bits_is_small_in_memory(bits: int, share: float):
    whole, small = model(d_model=256, d_ff=512), quantize(model(d_model=256, d_ff=512), bits)
    before, after = bytes_of(whole.blocks), bytes_of(small.blocks)
    scales = {8: 4 / 256, 4: 2.5 / 64}[bits]  # bytes of scales and zeros for each number
    assert after < before * (share + scales / 4 + 0.01)
    assert torch.equal(small.embedding.weight, whole.embedding.weight)
    with torch.no_grad():
        ids = torch.randint(0, 60, (2, 20))
        assert (small(ids) - whole(ids)).abs().max() < {8: 0.05, 4: 0.6}[bits]


def test_adapters_on_a_base_in_few_bits_learn_in_full_precision():
    packed = quantize(model(), 4)
    small = bytes_of(packed.blocks)
    add_lora(packed, LoraConfig(rank=2))
    added = sum(p.numel() * 4 for p in adapter_parameters(packed).values())
    assert bytes_of(packed.blocks) == small + added
    plain = model()
    with torch.no_grad():
        for layer, reference in zip(packed.blocks, plain.blocks, strict=True):
            for name, part in layer.named_modules():
                if isinstance(part, QuantizedLinear):
                    reference.get_submodule(name.removesuffix(".base")).weight.copy_(part.weight)
    add_lora(plain, LoraConfig(rank=2))
    with torch.no_grad():
        for name, parameter in adapter_parameters(plain).items():
            parameter.normal_(std=0.1)
            adapter_parameters(packed)[name].copy_(parameter)
    ids = torch.randint(0, 60, (2, 20))
    losses = [each(ids).square().mean() for each in (packed, plain)]
    gradients = [
        torch.autograd.grad(loss, list(adapter_parameters(each).values()))
        for loss, each in zip(losses, (packed, plain), strict=True)
    ]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("bits", "near"), [(16, 8), (3, 4), (0, 4)])
def test_other_numbers_of_bits_are_refused_with_the_nearest(bits: int, near: int):
    with pytest.raises(InputError, match=f"{bits} bits") as error:
        quantize(model(), bits)
    assert error.value.fix == f"use {near}"


# Products of codes


def noted(ok: bool, kernel: str) -> None:
    if not ok:
        pytest.skip(f"this PyTorch or processor has no {kernel}")


@settings(max_examples=60, deadline=None)
@given(rows=st.sampled_from([1, 2, 7, 256, 300]), width=st.integers(2, 300), out=st.integers(1, 40),
       size=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))  # fmt: skip
def test_the_product_in_whole_numbers_is_off_by_no_more_than_it_says(
    rows: int, width: int, out: int, size: float, seed: int
):
    noted(multiplies_fast(), "fast product of whole numbers")
    torch.manual_seed(seed)
    layer = rounded(layer_of(torch.randn(out, width)), 8)
    x = torch.randn(rows, width) * size
    x[0] = 0
    exact = x.double() @ layer.weight.double().T
    made = int8_product(x, layer.codes, layer.scales)
    largest, weights = x.abs().amax(1, keepdim=True).double(), layer.weight.double().abs().sum(1)
    bound = largest / 64_516 * weights + 1e-6 * largest * weights  # and float32's own rounding
    assert ((made - exact).abs() <= bound).all()
    assert (made[0] == 0).all()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("width", [64, 100, 576])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_with_few_rows_is_the_definition(bits: int, width: int, bias: bool):
    torch.manual_seed(0)
    layer = rounded(Linear(width, 50, bias=bias), bits)
    x = torch.randn(2, 5, width)
    with torch.no_grad():
        made = layer(x)
        exact = F.linear(x.double(), layer.weight.double())
        exact = exact if layer.bias is None else exact + layer.bias
    torch.testing.assert_close(made.double(), exact, atol=1e-5, rtol=1e-5)
    assert made.dtype == torch.float32


@pytest.mark.parametrize("bits", [8, 4])
def test_a_product_without_gradients_decodes_nothing(bits: int, monkeypatch):
    noted(multiplies_fast(), "fast product of whole numbers")
    layer = rounded(Linear(64, 32), bits)

    def refuse(_: object) -> None:
        raise AssertionError("the matrix was decoded")

    monkeypatch.setattr(type(layer), "weight", property(refuse))
    with torch.inference_mode():
        for rows in (1, FEW_ROWS, 600 if bits == 8 else 2):
            assert layer(torch.randn(rows, 64)).shape == (rows, 32)


def test_new_codes_are_arranged_anew():
    torch.manual_seed(0)
    one, other = (rounded(Linear(64, 32, bias=False), 4) for _ in range(2))
    x = torch.randn(3, 64)
    with torch.no_grad():
        one(x)
        one.load_state_dict(other.state_dict(), assign=True)
        assert torch.equal(one(x), other(x))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_inputs_of_other_types_give_their_own(bits: int, dtype: torch.dtype):
    layer = rounded(Linear(64, 32, bias=False), bits)
    x = torch.randn(3, 64, dtype=dtype)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight.to(dtype)))


# Whole models


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_model_decoded_again_computes_what_its_codes_do(tied: bool, bits: int):
    packed = quantize(model(tie_embeddings=tied), bits)
    quantize_tables(packed)
    assert isinstance(packed.head, Int8Linear)
    assert (packed.head.codes is packed.embedding.codes) == tied
    ids = torch.randint(0, 60, (2, 20))
    wanted = packed(ids)  # with gradients on: nothing but decoded matrices
    dequantize(packed)
    assert not is_quantized(packed)
    assert (packed.head.weight is packed.embedding.weight) == tied
    torch.testing.assert_close(packed(ids), wanted)


def test_a_bent_head_stays_bent():
    packed = model(logit_softcap=0.5)
    ids = torch.randint(0, 60, (2, 20))
    wanted = packed(ids)
    quantize_tables(packed)
    assert packed(ids).abs().max() < 0.5
    torch.testing.assert_close(packed(ids), wanted, atol=0.02, rtol=0.02)
    dequantize(packed)
    assert packed(ids).abs().max() < 0.5
