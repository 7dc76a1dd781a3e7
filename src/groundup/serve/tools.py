"""Functions that a model may call: how it is told of them, and how its calls are read.

A call is JSON between two tags, `<tool_call>{"name": …, "arguments": …}</tool_call>`: the form of Hermes,
which Qwen and SmolLM were trained on. Other templates are told of the functions in words.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.errors import InputError
from groundup.generation.schema import json_rule
from groundup.generation.text import possible_beginning
from groundup.serve.openai import ChatMessage, Tool, new_id
from groundup.tokenizer.tokenizer import Tokenizer

OPEN, CLOSE = "<tool_call>", "</tool_call>"
INTRODUCTION = (
    "You may call one or more of these functions. For each call, write a JSON object with the function's "
    'name and arguments: <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>\n'
)


def encode(
    tokenizer: Tokenizer, messages: Sequence[ChatMessage], tools: Sequence[Tool]
) -> list[int]:
    """A conversation as token ids, with the functions that may be called in it."""
    known = [tool.model_dump(exclude_none=True) for tool in tools]
    turns = [_turn(message) for message in messages]
    if not _knows_tools(tokenizer):
        turns, known = _in_words(turns, known), []
    return tokenizer.encode_chat(turns, add_generation_prompt=True, tools=known or None)


def grammar(tools: Sequence[Tool]) -> str:
    """What a call of one of these functions looks like, for `Grammars.grammar`."""
    calls = [
        f'"{{\\"name\\": \\"{tool.function.name}\\", \\"arguments\\": " arguments_{i} "}}"'
        for i, tool in enumerate(tools)
    ]
    # A schema stands as a whole, so that what it points to (`#/$defs/…`) is found.
    rules = [
        f"arguments_{i}: {json_rule(tool.function.parameters or {'type': 'object'})}"
        for i, tool in enumerate(tools)
    ]
    start = f'start: "{OPEN}\\n" call "\\n{CLOSE}"'
    return "\n".join([start, f"call: {' | '.join(calls)}", *rules])


class CallReader:
    """Tells the calls in an answer from its text, while it comes: all of them, or only the first."""

    def __init__(self, only_first: bool = False) -> None:
        self.only_first = only_first
        self.held, self.in_call, self.count = "", False, 0

    def feed(self, text: str, is_last: bool = False) -> tuple[str, list[dict[str, Any]]]:
        """The text and the calls that are certain now."""
        self.held += text
        said, calls = "", []
        while True:
            tag = CLOSE if self.in_call else OPEN
            before, found, after = self.held.partition(tag)
            if not found:
                break
            call = _call(before, self.count) if self.in_call else None
            if call and not (self.only_first and self.count):
                calls.append(call)
                self.count += 1
            elif not call:
                said += OPEN + before + CLOSE if self.in_call else before
            self.held, self.in_call = after, not self.in_call
        if is_last:
            said += OPEN + self.held if self.in_call else self.held
            self.held = ""
        elif not self.in_call:
            free = len(self.held) - possible_beginning(self.held, [OPEN])
            said, self.held = said + self.held[:free], self.held[free:]
        return ("" if self.count and not said.strip() else said), calls


def _call(written: str, number: int) -> dict[str, Any] | None:
    """A call as OpenAI's clients expect it; None if it is not one."""
    try:
        call = json.loads(written)
        name, arguments = call["name"], json.dumps(call["arguments"], ensure_ascii=False)
    except (ValueError, KeyError, TypeError):
        return None
    function = {"name": str(name), "arguments": arguments}
    return {"index": number, "id": new_id("call"), "type": "function", "function": function}


def _turn(message: ChatMessage) -> dict[str, Any]:
    """As a chat template takes it: arguments are objects there."""
    turn: dict[str, Any] = message.plain()
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id, "type": "function",
                "function": {"name": call.function.name, "arguments": _arguments(call.function.arguments)},
            }
            for call in message.tool_calls
        ]  # fmt: skip
    if message.role == "tool":
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _arguments(written: str) -> Any:
    try:
        return json.loads(written or "{}")
    except ValueError as error:
        raise InputError(
            f"the arguments of a tool call are not valid JSON: {error}", "messages"
        ) from None


def _knows_tools(tokenizer: Tokenizer) -> bool:
    """Whether the chat template has a place for functions."""
    has_own = "tool_use" in tokenizer.framing.templates
    return has_own or "tools" in (tokenizer.chat_template or "")


def _in_words(
    turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The conversation for a template that knows texts only: functions, calls and results in words."""
    plain = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    for turn, given in zip(plain, turns, strict=True):
        for call in given.get("tool_calls", ()):
            written = json.dumps(call["function"], ensure_ascii=False)
            turn["content"] += f"{OPEN}\n{written}\n{CLOSE}"
        if turn["role"] == "tool":
            turn["role"] = "user"
            turn["content"] = f"<tool_response>\n{turn['content']}\n</tool_response>"
    if tools:
        listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
        if plain[0]["role"] != "system":
            plain.insert(0, {"role": "system", "content": ""})
        first = plain[0]
        first["content"] = f"{first['content']}\n\n{INTRODUCTION}{listed}".strip()
    return plain
