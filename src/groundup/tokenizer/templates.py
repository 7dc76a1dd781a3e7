"""Chat templates by name, or from a file of one's own, and the special tokens that they need."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.errors import InputError, unknown
from groundup.tokenizer.chat import DEFAULT_TEMPLATE, Message, render_chat

TEMPLATES = {
    "groundup": DEFAULT_TEMPLATE,
    # OpenAI's markup of 2023, which Qwen, SmolLM and many others took up.
    "chatml": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "llama-3": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
        "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "phi-3": (
        "{% for message in messages %}"
        "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    ),
    # Stanford Alpaca (Taori et al. 2023): turns are headings in plain text, and only the end of an
    # answer is a special token.
    "alpaca": (
        "{% if messages and messages[0]['role'] != 'system' %}"
        "{{ 'Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.' }}{% endif %}"
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
        "{% elif message['role'] == 'user' %}"
        "{{ '\\n\\n### Instruction:\\n' + message['content'] + '\\n\\n### Response:\\n' }}"
        "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
    ),
}

SAMPLE: tuple[Message, ...] = (
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
)
_TURN_MARK = re.compile(r"<\|\w+\|>")


def read_template(given: str | Path) -> str:
    """The template of this name (see `TEMPLATES`), or in this file of Jinja, whose path holds a dot or
    a slash. Raises `InputError` for an unknown name and for a file that cannot be read."""
    if given in TEMPLATES:
        return TEMPLATES[str(given)]
    path = Path(given)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InputError(
                "this chat template is no text in UTF-8", str(path), "save it as UTF-8"
            ) from None
    if path.suffix or len(path.parts) > 1:
        raise InputError("there is no such chat template", str(path), "check the path")
    raise unknown("chat template", str(given), TEMPLATES, "template")


def needed_tokens(template: str, names: Mapping[str, Any]) -> list[str]:
    """The special tokens that a template tells turns apart by, in their order: everything of the form
    `<|…|>` that it writes round a conversation. `names` are those it may use, such as `eos_token`.

    Raises `InputError` for a template that does not render."""
    try:
        text = render_chat(template, SAMPLE, special_tokens=names)
    except InputError:  # some know no system message
        text = render_chat(template, SAMPLE[1:], special_tokens=names)
    return list(dict.fromkeys(_TURN_MARK.findall(text)))
