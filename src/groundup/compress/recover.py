"""Training after pruning: the weights that stay make up for those that went.

The loop is the ordinary one. An optimiser moves zeros as it moves all numbers, so a hook puts them back
after each step, before anything is saved or measured (Han et al. 2015, section 3).
"""

from groundup.compress.masks import Masks, apply_masks
from groundup.train.loop import Hook, Run


def keep_zeros(masks: Masks) -> Hook:
    """The hook that keeps pruned weights exactly zero."""

    def hook(run: Run) -> None:
        apply_masks(run.model, masks)

    return hook
