import torch

from groundup.generation.sampling import choose, generator


@torch.no_grad()
def generate_step_by_step(model, prompt, sampling, stop_ids=frozenset()):
    text = torch.tensor(prompt, device=model.device)[None]
    generators = [generator(sampling.seed, model.device)]
    left = sampling.max_new_tokens
    while left > 0 and text.shape[1] <= model.config.context_length:
        token = choose(model(text)[:, -1], text, sampling, generators)
        text = torch.cat([text, token[:, None]], dim=1)
        left -= 1
        yield token.item()
        if token.item() in stop_ids:
            left = 0
