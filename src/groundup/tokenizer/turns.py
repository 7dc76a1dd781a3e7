"""Which part of a rendered conversation the assistant says: what a model is to learn of it.

A template with `generation` blocks says it itself. Of any other it is seen from outside. The assistant
begins to speak where the prompt ends that it is given, which is the conversation up to there rendered
by itself; and it ends with its last word, found by a mark that is put behind it, and the end token that
the template writes after that. So nothing has to be known of a template, and one that rewrites earlier
turns (Qwen3 drops their thoughts), or ends a conversation as it ends no turn, is no exception.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from groundup.errors import InputError
from groundup.language import N_
from groundup.tokenizer.chat import (
    SPOKEN,
    Marked,
    Message,
    Ranges,
    mark_places,
    quoted,
    render_marked,
    unmarked,
)

_GENERATION = re.compile(r"\{%[-+]?\s*generation\b")
_FIX = N_(
    "put {% generation %} … {% endgeneration %} round what the assistant says, in the template"
)

Render = Callable[..., str]


def mark_turns(
    template: str,
    messages: Sequence[Message],
    special_tokens: re.Pattern[str] | None,
    names: Mapping[str, Any],
) -> Marked:
    """The rendered conversation, with what the assistant says as `spoken`.

    `special_tokens` finds the tokenizer's; `names` are those that the template may use. Raises
    `InputError` for a template that does not render, and, if it has no generation blocks, for one that
    changes the assistant's words, and for messages of the assistant that are more than a text (calls
    of tools).
    """
    quotes = [quoted(message, special_tokens) for message in messages]
    # One moment for all renderings: some templates write the time.
    render = partial(render_marked, template, special_tokens=names, now=datetime.now())
    whole = unmarked(render(quotes))
    if _GENERATION.search(template):
        return whole
    turns = [i for i, message in enumerate(quotes) if message.get("role") == "assistant"]
    words = _find_words(render, quotes, whole.text)
    if len(words) != len(turns):
        raise _unclear(N_(f"of {len(turns)} turns of the assistant it shows {len(words)}"))
    spoken: Ranges = []
    for turn, (first, last) in zip(turns, words, strict=True):
        begin = _prompt_length(render, quotes[:turn], whole.text[:last])
        begin = first if begin is None else begin
        if begin is None:
            raise _unclear(N_(f"it cuts message {turn + 1}"))
        spoken.append((begin, _turn_end(whole.text, last, special_tokens)))
    return replace(whole, spoken=spoken)


def gaps(ranges: Ranges, end: int) -> Iterator[tuple[int, int]]:
    """What lies before, between and after `ranges`, up to `end`."""
    firsts = [0, *(last for _, last in ranges)]
    yield from zip(firsts, [*(first for first, _ in ranges), end], strict=True)


def _find_words(
    render: Render, messages: Sequence[Message], whole: str
) -> list[tuple[int | None, int]]:
    """Where the words of each of the assistant's messages begin and end in the rendered text. The
    beginning is None where the template leaves it out."""
    text = render([_with_marks(message) for message in messages])
    if unmarked(text).text != whole:
        raise _unclear(N_("it looks into the assistant's messages"))
    words: list[tuple[int | None, int]] = []
    first = None
    for mark, at in mark_places(text):
        if mark == SPOKEN[0]:
            first = at
        elif mark == SPOKEN[1]:
            words.append((first, at))
            first = None
    return words


def _with_marks(message: Message) -> Message:
    """A message of the assistant with marks round its words; white space round them is left outside,
    as templates strip it."""
    if message.get("role") != "assistant":
        return message
    text = message.get("content")
    if not isinstance(text, str) or message.get("tool_calls"):
        raise _unclear(N_("a message of the assistant is more than a text"))
    words = text.strip()
    before, after = text.split(words, 1) if words else ("", text)
    return dict(message) | {"content": f"{before}{SPOKEN[0]}{words}{SPOKEN[1]}{after}"}


def _prompt_length(render: Render, before: Sequence[Message], whole: str) -> int | None:
    """The length of the prompt that the messages `before` make, if `whole` begins with it."""
    try:
        prompt = unmarked(render(before, add_generation_prompt=True)).text
    except InputError:  # what was said so far may be no conversation of which this template knows
        return None
    return len(prompt) if whole.startswith(prompt) else None


def _turn_end(text: str, words_end: int, special_tokens: re.Pattern[str] | None) -> int:
    """Where the end token stops that the template writes after the words: the next special token, or
    what is written directly behind them."""
    found = special_tokens.search(text, words_end) if special_tokens else None
    gap = text[words_end : found.start()] if found else text[words_end:]
    directly = re.match(r"\S*", gap)
    assert directly is not None
    if found and (not gap.strip() or directly[0] == gap):
        return found.end(found.lastindex or 0)
    return words_end + directly.end()


def _unclear(why: str) -> InputError:
    return InputError(
        f"it cannot be seen what the assistant says in this chat template: {why}", "chat_template",
        _FIX,
    )  # fmt: skip
