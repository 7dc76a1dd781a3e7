"""What DistributedDataParallel does, written out: several processes learn the same from parts of a batch.

    torchrun --standalone --nproc-per-node 2 docs/examples/data_parallel.py

Every process begins with the same weights. In each step it computes the gradients of its own rows; then
all of them average their gradients, so all make the same update, and have the same weights again. The
first process does the same work alone beside it, and says how far apart the two have come.
"""

import copy

import torch
import torch.distributed as dist
from torch import Tensor, nn

ROWS, STEPS = 8, 20


def main() -> None:
    dist.init_process_group(
        "gloo"
    )  # finds the others by what torchrun has put into the environment
    torch.manual_seed(0)  # the same weights and data in every process
    together = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    alone = copy.deepcopy(together)
    x = torch.randn(STEPS, ROWS, 4)
    y = x.sum(dim=2, keepdim=True)

    for step in range(STEPS):
        mine = slice(
            dist.get_rank(), ROWS, dist.get_world_size()
        )  # every second row, of two processes
        learn(together, x[step, mine], y[step, mine], shared=True)
        learn(alone, x[step], y[step], shared=False)

    if dist.get_rank() == 0:
        pairs = zip(together.parameters(), alone.parameters(), strict=True)
        farthest = max((a - b).abs().max().item() for a, b in pairs)
        print(f"{dist.get_world_size()} processes, {STEPS} steps: at most {farthest:.1e} apart")
    dist.destroy_process_group()


def learn(model: nn.Module, x: Tensor, y: Tensor, shared: bool) -> None:
    """One step of gradient descent."""
    model.zero_grad()
    (model(x) - y).square().mean().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            if shared:
                average(parameter.grad)
            parameter -= 0.05 * parameter.grad


def average(gradient: Tensor) -> None:
    """The mean over all processes, in place. DistributedDataParallel does the same to several gradients
    at a time, while the backward pass is still at work on the layers before."""
    dist.all_reduce(gradient)
    gradient /= dist.get_world_size()


if __name__ == "__main__":
    main()
