import torch


def keep_top_p(logits, p):
    """What stands before a token: all that are likelier."""
    probabilities = logits.softmax(-1)
    likelier = probabilities[:, None, :] > probabilities[:, :, None]
    before = (likelier * probabilities[:, None, :]).sum(-1)
    return torch.where(before < p, logits, -torch.inf)
