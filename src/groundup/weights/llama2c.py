"""llama2.c's flat format (https://github.com/karpathy/llama2.c): seven numbers, then all tensors, each
for all layers, as float32 in the order of its `memory_map_weights`.

The model is a Llama, so its tensors are given the names that they have in llama.cpp.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from groundup.errors import CorruptFileError, InputError
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.llama2c import read_llama2c_tokenizer
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.architectures import ARCHITECTURES
from groundup.weights.assembly import Source, blank, fill
from groundup.weights.gguf_head import GGUFTensor

HEAD = struct.Struct("<7i")
FLOAT = 4
LLAMA = ARCHITECTURES["llama"]


@dataclass(frozen=True)
class Sizes:
    """The head of a file."""

    d_model: int
    d_ff: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    """Negative in a file with an output matrix of its own."""
    context_length: int

    def tensors(self) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """What follows the head: llama.cpp's name, for how many layers, and the shape."""
        width, n_layers = self.d_model, self.n_layers
        kv_width = width // self.n_heads * self.n_kv_heads
        yield "token_embd", 1, (abs(self.vocab_size), width)
        yield "blk.{}.attn_norm", n_layers, (width,)
        yield "blk.{}.attn_q", n_layers, (width, width)
        yield "blk.{}.attn_k", n_layers, (kv_width, width)
        yield "blk.{}.attn_v", n_layers, (kv_width, width)
        yield "blk.{}.attn_output", n_layers, (width, width)
        yield "blk.{}.ffn_norm", n_layers, (width,)
        yield "blk.{}.ffn_gate", n_layers, (self.d_ff, width)
        yield "blk.{}.ffn_down", n_layers, (width, self.d_ff)
        yield "blk.{}.ffn_up", n_layers, (self.d_ff, width)
        yield "output_norm", 1, (width,)
        # Cosines and sines of the positions, of older versions: read by nobody.
        yield "rotary", 1, (self.context_length, width // self.n_heads)
        if self.vocab_size < 0:
            yield "output", 1, (-self.vocab_size, width)


def read_llama2c_config(path: Path) -> ModelConfig:
    """The configuration of a file, from its head."""
    sizes = _sizes(path)
    return ModelConfig(
        vocab_size=abs(sizes.vocab_size), context_length=sizes.context_length,
        d_model=sizes.d_model, n_layers=sizes.n_layers, n_heads=sizes.n_heads,
        n_kv_heads=sizes.n_kv_heads, d_ff=sizes.d_ff, feed_forward="swiglu",
        tie_embeddings=sizes.vocab_size > 0,
    )  # fmt: skip


def read_llama2c_model(path: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The model of a file, ready for use, mapped into memory."""
    stored, at = {}, HEAD.size
    for name, n_layers, shape in _sizes(path).tensors():
        for layer in range(n_layers):
            full = f"{name.format(layer)}.weight"
            stored[full] = GGUFTensor(path, full, shape, "F32", at)
            at += FLOAT * math.prod(shape)
    del stored["rotary.weight"]
    model, plan = blank(GPT, read_llama2c_config(path), LLAMA)
    return fill(model, plan, Source(stored, path, ("F32",), "F32"), dtype)


def read_llama2c_tokenizer_of(path: Path) -> Tokenizer:
    """The tokenizer of a model, which stands in a file beside it: `tok512.bin` for 512 ids, or
    `tokenizer.bin`."""
    names = (f"tok{abs(_sizes(path).vocab_size)}.bin", "tokenizer.bin")
    for name in names:
        if path.with_name(name).is_file():
            return read_llama2c_tokenizer(path.with_name(name))
    raise InputError(
        "the tokenizer is missing", str(path), f"put {names[0]} or {names[1]} beside the model"
    )


def _sizes(path: Path) -> Sizes:
    """The head of a file, if its numbers can be sizes and explain how long the file is."""
    with path.open("rb") as file:
        head = file.read(HEAD.size)
    numbers = HEAD.unpack(head) if len(head) == HEAD.size else (0,) * 7
    sizes = Sizes(*numbers)
    positive = min(abs(sizes.vocab_size), *numbers[:5], numbers[6]) > 0
    if not positive or sizes.d_model % sizes.n_heads or sizes.n_heads % sizes.n_kv_heads:
        raise InputError(
            "this is not a model of llama2.c", str(path),
            "a .bin file of PyTorch's is a pickle and not read; get the model as safetensors or GGUF",
        )  # fmt: skip
    wanted = HEAD.size + FLOAT * sum(n * math.prod(shape) for _, n, shape in sizes.tensors())
    found = path.stat().st_size
    if found != wanted:
        raise CorruptFileError(
            f"the file is cut or no model of llama2.c: its head asks for {wanted:,} bytes, it has "
            f"{found:,}",
            str(path), "copy or download the file again",
        )  # fmt: skip
    return sizes
