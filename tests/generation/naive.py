"""What the engine must say, computed without any of it: a pass over the whole text for every token."""

from collections.abc import Callable

import torch

from groundup.generation.sampling import choose, generator
from groundup.generation.scheduler import Request
from groundup.model.gpt import GPT


class Nothing:
    """A past that holds nothing. It only says how long the text was when each of its tokens came up,
    by which LongRoPE turns it, and `stores` keys and values as a cache would."""

    def __init__(self, began: int, length: int, stores: Callable[[torch.Tensor], torch.Tensor]):
        self.length, self.states, self.stores = 0, {}, stores
        self.lengths = (torch.arange(length) + 1).clamp(min=began)[None]

    def update(self, layer: int, k: torch.Tensor, v: torch.Tensor, window: int | None):
        return self.stores(k), self.stores(v)


def exactly(x: torch.Tensor) -> torch.Tensor:
    return x


def in_8_bits(x: torch.Tensor) -> torch.Tensor:
    """Each vector on a grid of 255 points, of which its largest number is the outermost."""
    step = x.abs().max(dim=-1, keepdim=True).values / 127
    return torch.where(step > 0, torch.round(x / step) * step, x)


@torch.no_grad()
def alone(model: GPT, request: Request, stores=exactly) -> list[int]:
    """The answer to a request, where keys and values are remembered as `stores` makes them."""
    context, text, said = model.config.context_length, list(request.prompt), []
    draws = generator(request.sampling.seed, model.device)
    seen = began = len(text)
    for _ in range(request.sampling.max_new_tokens):
        if seen > context:
            if request.when_full == "stop":
                break
            seen = began = max(1, context // 2)
        logits = model(torch.tensor([text[-seen:]]), Nothing(began, seen, stores))[:, -1]
        said.append(int(choose(logits, torch.tensor([text]), request.sampling, [draws])))
        text.append(said[-1])
        seen += 1
        if said[-1] in request.stop_ids:
            break
    return said
