import torch

from groundup.generation.plain import PlainCache
from groundup.generation.sampling import choose, generator


@torch.inference_mode()
def generate_step_by_step(model, prompt, sampling, stop_ids=frozenset()):
    ids, past, draws = list(prompt), PlainCache(), generator(sampling.seed, model.device)
    for _ in range(sampling.max_new_tokens):
        if len(ids) > model.config.context_length:
            break
        logits = model(torch.tensor([ids[past.length :]]), past)[:, -1]
        token = choose(logits, torch.tensor([ids]), sampling, [draws]).item()
        ids += [token]
        yield token
        if token in stop_ids:
            break
