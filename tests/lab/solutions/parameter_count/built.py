import torch

from groundup.model.gpt import GPT


def parameter_count_by_formula(config):
    """Builds the model without memory."""
    with torch.device("meta"):
        model = GPT(config)
    return sum(parameter.numel() for parameter in model.parameters())
