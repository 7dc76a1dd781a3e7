"""How a server works: where it listens, who may ask, and how much at once."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from groundup.generation.config import EngineConfig


class ServeConfig(EngineConfig):
    """Where a server listens, who may ask it, and how much it takes on."""

    host: str = "127.0.0.1"
    """The address to listen on: by default only this machine can reach it; 0.0.0.0 is everybody."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes one that is free."""
    api_key: str | None = None
    """What callers have to send as `Authorization: Bearer KEY` (default: GROUNDUP_API_KEY)."""
    max_batch: PositiveInt = 16
    """So many requests are answered together, each going on with every step."""
    max_queue: Annotated[int, Field(ge=0)] = 64
    """So many more may wait; others are sent away with 429."""
    max_request_bytes: PositiveInt = 1_000_000
    """A longer body is refused."""
    max_seconds: PositiveFloat = 600.0
    """An answer that takes longer is broken off."""
    drain_seconds: PositiveInt = 30
    """When it is told to stop, answers that are on their way get this long."""
