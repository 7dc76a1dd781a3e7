"""Conversations as text: chat templates in Jinja, as Hugging Face's tokenizers carry them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node, Output, Scope, TemplateData
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from groundup.errors import InputError

Message = Mapping[str, Any]
"""`{"role": "user", "content": "Hello"}`; templates may know more keys."""

USER, ASSISTANT, SYSTEM, END = "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
CHAT_SPECIAL_TOKENS = (USER, ASSISTANT, SYSTEM, END)

# A turn costs two tokens beside its text. The space lets a sentence's first word have the token that
# it has inside sentences.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|> ' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


# lab: chat_template
def render_step_by_step(messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
    """The conversation in `DEFAULT_TEMPLATE`, which is here written in Python: of each message the mark
    of its role, a space, its content and the mark of the end. With `add_generation_prompt` the mark of
    the assistant follows, and nothing after it.

    >>> render_step_by_step([{"role": "user", "content": "Hello"}], add_generation_prompt=True)
    '<|user|> Hello<|end|><|assistant|>'
    """
    turns = [f"<|{message['role']}|> {message['content']}{END}" for message in messages]
    return "".join(turns) + (ASSISTANT if add_generation_prompt else "")


def render_chat(
    template: str,
    messages: Sequence[Message],
    add_generation_prompt: bool = False,
    special_tokens: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """The conversation as one text, as `transformers`' `apply_chat_template` gives it.

    `special_tokens` are names a template may use, such as `eos_token`. Templates run in Jinja's
    sandbox: they come with downloaded models.
    """
    marked = render_marked(template, messages, add_generation_prompt, special_tokens, tools)
    return unmarked(marked).text


def render_marked(
    template: str,
    messages: Sequence[Message],
    add_generation_prompt: bool = False,
    special_tokens: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    now: datetime | None = None,
) -> str:
    """`render_chat` with the marks that are in the messages, and with those that a `generation` block
    puts round what it writes. `now` is the time that the template is told."""
    try:
        return _compiled(template).render(
            messages=list(messages),
            tools=None if tools is None else list(tools),
            documents=None,
            add_generation_prompt=add_generation_prompt,
            strftime_now=(now or datetime.now()).strftime,
            **(special_tokens or {}),
        )
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"the chat template does not render: {error}", "chat_template",
            "check the order of the roles (system, user, assistant, user, …) and the template",
        ) from error  # fmt: skip


@lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    """A template with what `transformers` offers to it: `raise_exception`, `strftime_now`, `tojson`
    that leaves Unicode as it is, `break` and `continue`, and `generation` blocks."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationBlock]
    )
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = _to_json
    return environment.from_string(template)


class _GenerationBlock(Extension):
    """`{% generation %}` … `{% endgeneration %}` stands round what the model itself says."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        opened, closed = (Output([TemplateData(mark)]).set_lineno(line) for mark in SPOKEN)
        return [opened, Scope(body).set_lineno(line), closed]


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Jinja's own `tojson` writes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


# Marks in a rendered conversation: characters of Unicode that are for a program's own use.
QUOTED = "\ufdd0", "\ufdd1"
"""Round a special token that a user wrote."""
SPOKEN = "\ufdd2", "\ufdd3"
"""Round what the assistant says."""
MARKS = re.compile(f"[{''.join((*QUOTED, *SPOKEN))}]")


def quoted(message: Any, special_tokens: re.Pattern[str] | None) -> Any:
    """A message with marks around each special token in its texts: what a user wrote can then be told
    from what the template wrote. Other text is as it was, since templates look into it."""
    if isinstance(message, str):
        text = MARKS.sub("", message)
        return special_tokens.sub(r"\g<0>".join(QUOTED), text) if special_tokens else text
    if isinstance(message, Mapping):
        return {name: quoted(value, special_tokens) for name, value in message.items()}
    if isinstance(message, (list, tuple)):
        return [quoted(value, special_tokens) for value in message]
    return message


Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Marked:
    """A rendered conversation without its marks, and where they were."""

    text: str
    quoted: Ranges
    """What users wrote that looks like special tokens."""
    spoken: Ranges
    """What the assistant says."""


def unmarked(text: str) -> Marked:
    """Takes the marks out of a rendered conversation. Those that a template tore apart are dropped."""
    found: dict[tuple[str, str], Ranges] = {QUOTED: [], SPOKEN: []}
    opened: dict[tuple[str, str], int] = {}
    for mark, at in mark_places(text):
        kind = QUOTED if mark in QUOTED else SPOKEN
        if mark == kind[0]:
            opened[kind] = at
        elif kind in opened:
            found[kind].append((opened.pop(kind), at))
    return Marked(MARKS.sub("", text), found[QUOTED], found[SPOKEN])


def mark_places(text: str) -> Iterator[tuple[str, int]]:
    """Each mark in a text, and its place when all of them are taken out."""
    for number, match in enumerate(MARKS.finditer(text)):
        yield match[0], match.start() - number
