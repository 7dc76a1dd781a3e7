"""Which form of a model generation works with."""

import logging
from threading import Timer
from typing import TYPE_CHECKING

from groundup.language import N_, shown
from groundup.model.gpt import GPT

if TYPE_CHECKING:
    from groundup.generation.compiled import Compiled

WORTH_COMPILING = 20_000_000
"""Numbers in a model from which on its steps of few tokens are compiled: that takes some seconds once on a
machine, and afterwards part of one to load what was compiled."""

NOTICE = N_("Compiling the model's loops for this processor: up to half a minute, once.")


def fast_form(model: GPT) -> "GPT | Compiled":
    """The model itself, or, where it is worth while, with compiled steps of few tokens."""
    size = sum(part.numel() for part in (*model.parameters(), *model.buffers()))
    if model.device.type != "cpu" or size < WORTH_COMPILING:
        return model
    notice = Timer(2, logging.getLogger(__name__).warning, [shown(NOTICE)])
    notice.daemon = True
    notice.start()
    try:
        from groundup.generation.compiled import compiled  # which loads the compiler

        return compiled(model) or model
    finally:
        notice.cancel()
