"""From a model and what a user wants of it to an engine."""

from groundup.errors import InputError
from groundup.generation.config import EngineConfig
from groundup.generation.engine import Engine
from groundup.generation.speculative import Drafter, DraftModel, PromptLookup
from groundup.model.gpt import GPT, halve
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import load

PROMPT_LOOKUP = "prompt-lookup"


def set_up(model: GPT, tokenizer: Tokenizer, config: EngineConfig, max_batch: int = 1) -> Engine:
    """An engine for the model, whose matrices are rounded in place where `config` says so.

    Raises `InputError` for a model in few bits that is to be rounded, and for a draft that does not go
    with it."""
    if config.dtype == "float16":
        halve(model)
    drafter = load_drafter(config.draft, tokenizer) if config.draft else None
    return Engine(
        model, max_batch, drafter=drafter, draft_tokens=config.draft_tokens,
        kv_cache_dtype=config.kv_cache_dtype,
    )  # fmt: skip


def load_drafter(source: str, tokenizer: Tokenizer) -> Drafter:
    """The drafter that a user names: "prompt-lookup", or a model's directory, file or hub id.

    Raises `InputError` for a model with other tokens."""
    if source == PROMPT_LOOKUP:
        return PromptLookup()
    model, own = load(source)
    ids = range(max(tokenizer.vocab_size, own.vocab_size))
    other = next((id for id in ids if own.known_bytes(id) != tokenizer.known_bytes(id)), None)
    if other is not None:
        raise InputError(
            f"the draft model has other tokens: id {other} is {own.known_bytes(other)!r}, not "
            f"{tokenizer.known_bytes(other)!r}",
            source, f"use a model with the same tokenizer, or {PROMPT_LOOKUP}",
        )  # fmt: skip
    return DraftModel(model)
