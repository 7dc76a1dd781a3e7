import torch

from groundup.generation.sampling import choose, generator


def generate_step_by_step(model, prompt, sampling, stop_ids=frozenset()):
    said, draws = [], generator(sampling.seed, model.device)
    room = model.config.context_length + 1 - len(prompt)
    with torch.no_grad():
        while len(said) < min(sampling.max_new_tokens, room):
            text = torch.tensor([[*prompt, *said]])
            said.append(choose(model(text)[:, -1, :], text, sampling, [draws]).item())
            if said[-1] in stop_ids:
                break
    return said
