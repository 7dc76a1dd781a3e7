"""Conversations as text: chat templates in Jinja, as Hugging Face's tokenizers carry them."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node, Scope
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
    try:
        return _compiled(template).render(
            messages=list(messages),
            tools=None if tools is None else list(tools),
            documents=None,
            add_generation_prompt=add_generation_prompt,
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
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment.from_string(template)


class _GenerationBlock(Extension):
    """`{% generation %}` … `{% endgeneration %}` marks what the model itself says; in the text it
    changes nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return Scope(body).set_lineno(line)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Jinja's own `tojson` writes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


# Around what a user wrote; two of Unicode's characters that are for a program's own use.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"


def quoted(message: Any, special_tokens: re.Pattern[str] | None) -> Any:
    """A message with marks around each special token in its texts: what a user wrote can then be told
    from what the template wrote. Other text is as it was, since templates look into it."""
    if isinstance(message, str):
        text = message.replace(_OPEN, "").replace(_CLOSE, "")
        return special_tokens.sub(rf"{_OPEN}\g<0>{_CLOSE}", text) if special_tokens else text
    if isinstance(message, Mapping):
        return {name: quoted(value, special_tokens) for name, value in message.items()}
    if isinstance(message, (list, tuple)):
        return [quoted(value, special_tokens) for value in message]
    return message


def unquoted(text: str) -> list[str]:
    """The parts of a rendered conversation: the template's text and, every second one, a special
    token that stood inside a message. Marks that a template tore apart are dropped."""
    parts = re.split(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}", text)
    return [part.replace(_OPEN, "").replace(_CLOSE, "") for part in parts]
