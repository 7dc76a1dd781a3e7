"""Conversations as text: chat templates in Jinja, as Hugging Face's tokenizers carry them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from groundup.errors import InputError

Message = Mapping[str, str]
"""`{"role": "user", "content": "Hello"}`"""

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
    special_tokens: Mapping[str, str] | None = None,
) -> str:
    """The conversation as one text, as `transformers`' `apply_chat_template` gives it.

    `special_tokens` are names a template may use, such as `eos_token`. Templates run in Jinja's
    sandbox: they come with downloaded models.
    """
    try:
        return _compiled(template).render(
            messages=list(messages),
            add_generation_prompt=add_generation_prompt,
            **(special_tokens or {}),
        )
    except TemplateError as error:
        raise InputError(
            f"the chat template does not render: {error}", "chat_template",
            "check the order of the roles (system, user, assistant, user, …) and the template",
        ) from error  # fmt: skip


@lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def placeholders(messages: Iterable[Message]) -> tuple[list[Message], dict[str, str]]:
    """The messages with a mark instead of each content, and the contents by their marks: what a
    user wrote can then be told from what the template wrote."""
    marked, contents = [], {}
    for i, message in enumerate(messages):
        mark = f"\ue000{i}\ue001"  # from Unicode's private use area
        contents[mark] = message["content"]
        marked.append({**message, "content": mark})
    return marked, contents
