"""Tensors of which every process has a part only (torch's DTensor), and whole ones: from one to the other."""

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which every process has a part, brought together; another as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[attr-defined]


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Of a tensor that every process has whole, the part that it has of `like`."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, Replicate  # loaded already, where there are any

    mesh = like.device_mesh  # type: ignore[attr-defined]
    replicated = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim)
    return replicated.redistribute(placements=like.placements)  # type: ignore[attr-defined]
