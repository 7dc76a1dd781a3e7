"""Matrices in 8 and 4 bits: the packed form is the definition, small, and differentiable."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.model.linear import Linear
from groundup.model.lora import LoraConfig, adapter_parameters, add_lora
from groundup.model.presets import preset
from groundup.model.quantized import (
    GROUPS,
    QuantizedLinear,
    decode,
    encode,
    pack,
    quantize,
    quantize_step_by_step,
    unpack,
)


def model(**more: object) -> GPT:
    torch.manual_seed(0)
    sizes = {"d_model": 64, "n_layers": 2, "n_heads": 4, "context_length": 32, "vocab_size": 60}
    return GPT(preset("llama-like", **{**sizes, **more})).eval()


def bytes_of(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@settings(max_examples=50, deadline=None)
@given(out=st.integers(1, 9), groups=st.integers(1, 4), bits=st.sampled_from([4, 8]),
       size=st.floats(1e-6, 1e4))  # fmt: skip
def test_the_packed_form_is_the_definition(out: int, groups: int, bits: int, size: float):
    weight = torch.randn(out, 64 * groups) * size
    weight[0, :64] = 0
    packed = decode(*encode(weight, bits), weight.shape[1])
    group = GROUPS[bits] or weight.shape[1]
    assert torch.equal(packed, quantize_step_by_step(weight, bits, group))


@settings(max_examples=50, deadline=None)
@given(out=st.integers(1, 5), width=st.integers(1, 200), bits=st.sampled_from([4, 8]))
def test_no_number_moves_further_than_half_a_step_whatever_the_width(
    out: int, width: int, bits: int
):
    weight = torch.randn(out, width)
    codes, scales = encode(weight, bits)
    group = GROUPS[bits] or width
    step = scales.repeat_interleave(group, dim=1)[:, :width]
    back = decode(codes, scales, width)
    assert back.shape == weight.shape
    assert ((back - weight).abs() <= step / 2 * (1 + 1e-4)).all()
    torch.testing.assert_close(decode(*encode(back, bits), width), back)


@given(
    st.lists(st.integers(-8, 7), min_size=2, max_size=40).filter(lambda codes: len(codes) % 2 == 0)
)
def test_packing_keeps_every_code(codes: list[int]):
    given_ = torch.tensor([codes], dtype=torch.int8)
    packed = pack(given_)
    assert packed.numel() == len(codes) // 2
    assert torch.equal(unpack(packed), given_)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("width", [64, 100])
def test_values_and_gradients_are_those_of_the_decoded_matrix(bits: int, bias: bool, width: int):
    torch.manual_seed(0)
    packed = QuantizedLinear.of(Linear(width, 30, bias=bias), bits)
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
    layer = QuantizedLinear.of(Linear(128, 256, bias=False), 4)
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(1, 128, requires_grad=True))
    assert 0 < sum(kept) <= bytes_of(layer)


@pytest.mark.parametrize(("bits", "share"), [(8, 1 / 4), (4, 1 / 8)])
def test_a_model_in_fewer_bits_is_small_in_memory(bits: int, share: float):
    whole, small = model(d_model=256, d_ff=512), quantize(model(d_model=256, d_ff=512), bits)
    before, after = bytes_of(whole.blocks), bytes_of(small.blocks)
    scales = {8: 4 / 256, 4: 4 / 64}[bits]  # bytes of scales for each number
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
