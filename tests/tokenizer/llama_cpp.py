"""llama.cpp itself, asked how it cuts text into ids."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np

from groundup.tokenizer.gguf import add_gguf_tokenizer
from groundup.tokenizer.tokenizer import Tokenizer
from tests.llama_cpp import running

Tokenize = Callable[[str, bool], list[int]]


@contextlib.contextmanager
def serving(path: Path) -> Iterator[Tokenize]:
    """What gives llama.cpp's ids of a text under a GGUF file, special tokens in it recognised or
    not."""
    with running(path) as ask:

        def tokenize(text: str, special: bool) -> list[int]:
            asked = {"content": text, "add_special": False, "parse_special": special}
            return ask("tokenize", asked)["tokens"]

        yield tokenize


def write_model(path: Path, tokenizer: Tokenizer) -> Path:
    """A GGUF file with `tokenizer` and the smallest Llama of random numbers."""
    width, size = 32, tokenizer.vocab_size
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width)
    add_gguf_tokenizer(writer, tokenizer)
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes = {"token_embd": (size, width), "output_norm": (width,), "blk.0.attn_norm": (width,),
              "blk.0.ffn_norm": (width,)} | {f"blk.0.{name}": (width, width) for name in square}  # fmt: skip
    numbers = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", numbers.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
