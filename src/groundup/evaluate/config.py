"""The settings of what is measured, apart from the parts that need them, so that a command's help loads no
torch."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from groundup.settings import Seed, Settings


class EndpointConfig(Settings):
    """How to reach a model on a server."""

    model: str | None = None
    """Its name there; without it, the only one that the server has."""
    api_key: str | None = None
    """The server's key. It is better in the environment, as GROUNDUP_JUDGE_API_KEY, where no other user
    of this machine sees it."""
    max_tokens: PositiveInt = 1024
    """The longest reply."""
    timeout_seconds: PositiveFloat = 120.0
    """How long to wait for one reply."""
    attempts: PositiveInt = 5
    """How often to ask before the network is given up."""
    first_wait_seconds: NonNegativeFloat = 0.5
    """The wait before the second attempt; it doubles before each one after."""


class JudgeConfig(EndpointConfig):
    """Which model judges, and how."""

    ask: Literal["both", "scores", "pairs"] = "both"
    """For a score of each answer, for the better one of two, or for both."""
    scale: Literal["0-100", "1-10"] = "0-100"
    """Of the scores."""
    rows: PositiveInt | None = None
    """Only so many questions, drawn by the seed."""
    seed: Seed = 0
    """Draws which answer is shown first, and the questions if not all are judged."""
    concurrency: PositiveInt = 4
    """How many calls are under way at once."""


class MemorisationConfig(Settings):
    """How it is found out how much a model recites."""

    prompts: PositiveInt = 200
    """How many places of the text are tried, drawn at random."""
    prefix_tokens: PositiveInt = 50
    """Tokens of the text that the model is given."""
    continuation_tokens: PositiveInt = 50
    """Tokens that it has to go on with; a verbatim match is all of them."""
    personal: PositiveInt = 200
    """How many pieces of personal data of the training text are tried, each after the tokens before it."""
    seed: Seed = 0
    """Draws the places."""
    batch: PositiveInt = 16
    """Places read at once."""


class ClozeConfig(Settings):
    """How an exam is built."""

    questions: PositiveInt = 200
    """How many at most."""
    choices: int = Field(default=4, ge=2, le=26)
    """For each."""
    least_before: PositiveInt = 24
    """Bytes of the sentence before the blank, at least: a model has to have something to go by."""
    seed: Seed = 0
    """Decides which sentences, and which wrong choices."""
