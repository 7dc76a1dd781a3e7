"""A model over a mesh of processes, by PyTorch's FSDP2 and its DTensors: see `parallel.py`."""

import logging
import math
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import Partial, Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from groundup.errors import InputError
from groundup.model.attention import Attention
from groundup.model.gpt import GPT
from groundup.model.layers import FeedForward, SwiGLU
from groundup.train.parallel import Layout

# It warns of every norm that is summed over two sides of the mesh: a number.
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)


def spread(model: GPT, layout: Layout, device: torch.device) -> DeviceMesh:
    """Put a model over the processes, in place: its matrices in parts, its weights in shards, each of which
    goes to `device` by itself; what `DistributedDataParallel` does alone is left to it."""
    mesh = init_device_mesh(device.type, layout, mesh_dim_names=layout._fields)
    if layout.tensor > 1:
        _split_matrices(model, mesh["tensor"])
    if layout.shards:
        replicas = mesh["data", "shard"] if layout.data > 1 else mesh["shard"]
        for block in model.blocks:
            fully_shard(block, mesh=replicas)
        fully_shard(model, mesh=replicas)
        register_fsdp_forward_method(model, "hidden")
    return mesh


def _split_matrices(model: GPT, mesh: DeviceMesh) -> None:
    """Give each process some heads of every attention and some columns of every feed-forward. What is
    small, the norms, embedding and head, is the same in all of them."""
    _refuse_indivisible(model, mesh.size())
    _register_product()
    for block in model.blocks:
        plan: dict[str, ParallelStyle] = {
            f"attention.{name}": ColwiseParallel() for name in ("query", "key", "value")
        }
        widening = ("gate", "up") if isinstance(block.feed_forward, SwiGLU) else ("up",)
        plan |= {f"feed_forward.{name}": ColwiseParallel() for name in widening}
        plan |= {"attention.output": RowwiseParallel(), "feed_forward.down": RowwiseParallel()}
        for name in ("query_norm", "key_norm"):  # which see the heads of their process
            if any(True for _ in getattr(block.attention, name).parameters()):
                plan[f"attention.{name}"] = SequenceParallel(sequence_dim=1, use_local_output=True)
        parallelize_module(block, mesh, plan)


def _refuse_indivisible(model: GPT, parts: int) -> None:
    config = model.config
    for name in ("n_heads", "n_kv_heads", "d_ff"):
        if (size := getattr(config, name)) % parts:
            raise InputError(
                f"{parts} processes cannot share the model's {name} of {size}", "parallel.tensor",
                f"use a number that divides it: {math.gcd(size, parts)}",
            )  # fmt: skip
    for block in model.blocks:
        plain = type(block.attention) is Attention and not config.attention_gate
        if (
            not plain
            or not isinstance(block.feed_forward, FeedForward | SwiGLU)
            or (config.qk_norm and config.qk_norm_scope == "all")
        ):
            raise InputError(
                "only attention with norms of single heads, and plain feed-forwards, can be shared by "
                "several processes", "parallel.tensor", "use --parallel.shard instead",
            )  # fmt: skip


def _register_product() -> None:
    """Tell DTensor how oneDNN's product (`model/linear.py`) is shared, as it knows of torch's own."""

    @register_sharding(torch.ops.mkldnn._linear_pointwise.default)
    def shared(x: Any, weight: Any, bias: Any, *rest: Any) -> list:
        last, others = x.ndim - 1, [None] * len(rest)
        whole = [Replicate()], [Replicate(), Replicate(), Replicate() if bias else None, *others]
        by_column = [Shard(last)], [Replicate(), Shard(0), Shard(0) if bias else None, *others]
        by_row = [Partial()], [Shard(last), Shard(1), Partial() if bias else None, *others]
        return [whole, by_column, by_row]
