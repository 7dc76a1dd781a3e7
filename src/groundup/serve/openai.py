"""OpenAI's protocol: what requests may say, and what answers look like.

The requests are checked completely before anything is asked of the model: a field that is unknown, or
that would not do what its name says, is refused and not passed over.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from groundup.generation.sampling import SamplingConfig
from groundup.settings import Seed

MOST_CHOICES, MOST_LOG_PROBS, MOST_STOPS = 8, 20, 16
Text = Annotated[str, Field(max_length=1_000_000)]
TokenIds = list[Annotated[int, Field(ge=0)]]
Several = Field(min_length=1, max_length=64)
Many = Field(min_length=1, max_length=256)


class Body(BaseModel):
    """The base of every request."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class StreamOptions(Body):
    """What a stream tells beside the text."""

    include_usage: bool = False
    """Send the numbers of tokens at the end."""


class Generation(Body):
    """What all requests for text have in common."""

    model: str = ""
    """The model's name, as /v1/models has it; without it, the one that is served."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """The longest answer, in tokens (default: what the context has room for)."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    seed: Seed | None = None
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    """How many answers."""
    stream: bool = False
    stream_options: StreamOptions | None = None
    frequency_penalty: Literal[0, None] = None
    """Not known here: `repetition_penalty` is."""
    presence_penalty: Literal[0, None] = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = None
    """Not used."""

    @model_validator(mode="after")
    def _check(self) -> "Generation":
        if self.stream_options and not self.stream:
            raise ValueError("stream_options is for stream: true")
        if any(not stop for stop in self.stops):
            raise ValueError("stop: an empty string would end every answer at once")
        return self

    @property
    def stops(self) -> list[str]:
        """The strings before which an answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def longest(self) -> int | None:
        """The longest answer that is asked for."""
        return self.max_tokens

    def sampling(self, room: int, choice: int) -> SamplingConfig:
        """The settings for one of the `n` answers, where the context has `room` tokens left. Each has a
        seed of its own: the n-th is what the seed n larger would have given alone."""
        asked = self.longest()
        return SamplingConfig(
            max_new_tokens=max(1, room if asked is None else min(asked, room)),
            temperature=self.temperature, top_k=self.top_k,
            top_p=None if self.top_p == 1 else self.top_p, min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=None if self.seed is None else (self.seed + choice) % 2**63,
        )  # fmt: skip


class Part(Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: Text

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("type", "text") != "text":
            raise ValueError(f"only text parts are read here, none of type {given['type']!r}")
        return given


class Function(Body):
    """What a model may call."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema of its arguments."""
    strict: bool | None = None
    """Not used: a call that is required follows the schema anyway."""


class Tool(Body):
    """A function, as the list of tools has it."""

    type: Literal["function"]
    function: Function


class Called(Body):
    """A function and the arguments it was called with, as JSON."""

    name: str
    arguments: Text


class ToolCall(Body):
    """A call that the assistant made."""

    id: str
    type: Literal["function"] = "function"
    function: Called
    index: int | None = None
    """Not used: streams have it."""


class Named(Body):
    """A function by its name."""

    name: str


class ToolChoice(Body):
    """The function that must be called."""

    type: Literal["function"]
    function: Named


class ChatMessage(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[Part], Field(min_length=1)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    """Those that the assistant made."""
    tool_call_id: str | None = None
    """Which of them a `tool` answers."""
    name: str | None = None
    refusal: None = None
    """Not used, as the name."""

    @model_validator(mode="after")
    def _check(self) -> "ChatMessage":
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are the assistant's")
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("tool_call_id belongs to the role tool, and the role to it")
        return self

    def plain(self) -> dict[str, str]:
        """As a chat template takes it."""
        parts = [self.content] if isinstance(self.content, str) else self.content or []
        said = "".join(part if isinstance(part, str) else part.text for part in parts)
        return {"role": "system" if self.role == "developer" else self.role, "content": said}


class JsonSchema(Body):
    """A JSON schema with a name, which is not used."""

    name: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None
    """Not used: the schema is always followed."""


class ResponseFormat(Body):
    """The form of an answer: text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _check(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema, and the type to it")
        return self

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """What the answer must follow; None for any text."""
        if self.json_schema:
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class ChatRequest(Generation):
    """`POST /v1/chat/completions`"""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """The newer name of `max_tokens`."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOG_PROBS)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    """False: of several calls in an answer only the first is told."""
    store: Literal[False, None] = None
    """Not used: nothing is kept."""
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    """Not used, as nothing is kept."""
    service_tier: Literal["auto", "default", None] = None
    """Not used: there is one."""
    reasoning_effort: Literal["none", None] = None
    """Not used: how much a model thinks is its own affair."""
    safety_identifier: str | None = None
    """Not used."""
    prompt_cache_key: str | None = None
    """Not used: beginnings are found again without."""

    @model_validator(mode="after")
    def _check_longest(self) -> "ChatRequest":
        if self.max_tokens and self.max_completion_tokens:
            raise ValueError("max_tokens is the older name of max_completion_tokens: give one")
        return self

    @model_validator(mode="after")
    def _check_log_probs(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is for logprobs: true")
        return self

    @model_validator(mode="after")
    def _check_tools(self) -> "ChatRequest":
        names = [tool.function.name for tool in self.tools or []]
        if len(set(names)) < len(names):
            raise ValueError("tools: two functions have the same name")
        if self.tool_choice not in (None, "none", "auto") and not names:
            raise ValueError("tool_choice is for tools")
        if isinstance(self.tool_choice, ToolChoice) and self.tool_choice.function.name not in names:
            raise ValueError(
                f"tool_choice: there is no function {self.tool_choice.function.name!r}"
            )
        if self.required_tools and self.response_format and self.response_format.type != "text":
            raise ValueError("response_format and a required call exclude each other")
        return self

    @property
    def usable_tools(self) -> list[Tool]:
        """The functions that the model is told of."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def required_tools(self) -> list[Tool]:
        """Those of which one must be called; none where the model may answer with text."""
        if isinstance(self.tool_choice, ToolChoice):
            chosen = self.tool_choice.function.name
            return [tool for tool in self.usable_tools if tool.function.name == chosen]
        return self.usable_tools if self.tool_choice == "required" else []

    def longest(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Generation):
    """`POST /v1/completions`"""

    prompt: Text | Annotated[list[Text], Several] | TokenIds | Annotated[list[TokenIds], Several]
    max_tokens: Annotated[int, Field(ge=1)] | None = 16
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOG_PROBS)] | None = None
    echo: bool = False
    """Repeat the prompt before the answer."""
    suffix: Literal["", None] = None

    @model_validator(mode="after")
    def _check_echo(self) -> "CompletionRequest":
        if self.echo and self.logprobs is not None:
            raise ValueError("logprobs are those of the answer only: leave out echo")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each of them."""
        return _each(self.prompt)

    @property
    def top(self) -> int | None:
        return self.logprobs


class EmbeddingRequest(Body):
    """`POST /v1/embeddings`"""

    model: str = ""
    input: Text | Annotated[list[Text], Many] | TokenIds | Annotated[list[TokenIds], Many]
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None

    @property
    def texts(self) -> list[str | list[int]]:
        """Each of them."""
        return _each(self.input)


class ClassifyRequest(Body):
    """`POST /v1/classify`"""

    model: str = ""
    input: Text | Annotated[list[Text], Many]

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def _each(given: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    """The texts, or lists of token ids, that are meant: a list of numbers is one."""
    if isinstance(given, str):
        return [given]
    several = [part for part in given if not isinstance(part, int)]
    return several or [[part for part in given if isinstance(part, int)]]


def fields_of(kind: type[Body], is_nested: bool) -> list[str]:
    """The names of the fields of a body, or of those that lie in it."""
    kinds = set(_within(kind)) if is_nested else {kind}
    fields = [field for each in kinds for field in each.model_fields.items()]
    return sorted({info.alias or name for name, info in fields})


def _within(kind: Any) -> Iterator[type[Body]]:
    """The bodies that a body, or a union or list of them, is made of."""
    is_body = isinstance(kind, type) and issubclass(kind, Body)
    fields = kind.model_fields.values() if is_body else ()
    for part in [info.annotation for info in fields] or get_args(kind):
        if isinstance(part, type) and issubclass(part, Body):
            yield part
        yield from _within(part)


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def now() -> int:
    return int(time.time())


def usage(prompt: int, completion: int) -> dict[str, int]:
    """The numbers of tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
