"""What an engine is set up with, beside the choice of each token."""

from typing import Annotated, Literal

from pydantic import Field

from groundup.settings import Settings

KvCacheDtype = Literal["auto", "int8"]
"""How keys and values are stored: as the model computes them, or in 8 bits (the name is vLLM's)."""


class EngineConfig(Settings):
    """How the model is held in memory, and who guesses ahead."""

    dtype: Literal["float32", "float16"] = "float32"
    """What the matrices are kept in: float16 takes half the memory, and writes nearly twice as fast on a CPU,
    with rounded numbers."""
    draft: str | None = None
    """A smaller model with the same tokenizer, or prompt-lookup: guesses ahead, which saves time and
    changes no token."""
    draft_tokens: Annotated[int, Field(ge=1, le=32)] = 4
    """So many tokens are guessed at a time."""
    kv_cache_dtype: KvCacheDtype = "auto"
    """int8: what the model remembers of its texts takes a quarter of the memory, nearly as exact."""


class GenerateConfig(EngineConfig):
    """The same for a single text, which may be searched for."""

    beams: Annotated[int, Field(ge=1, le=64)] | None = None
    """Look for the likeliest text among so many beginnings, instead of choosing token by token."""
