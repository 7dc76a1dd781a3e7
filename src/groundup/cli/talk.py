"""Talking to a model on the terminal, turn by turn."""

import contextlib
import sys

from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.language import shown
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer


def chat_loop(
    model: GPT,
    tokenizer: Tokenizer,
    system: str | None = None,
    sampling: SamplingConfig | None = None,
) -> None:
    """Read what the user says, answer, and remember both, until the input ends."""
    engine, sampling = Engine(model), sampling or SamplingConfig(temperature=0)
    first = [{"role": "system", "content": system}] if system else []
    messages = list(first)
    for said in _lines():
        messages.append({"role": "user", "content": said})
        prompt = _fitting_prompt(engine, tokenizer, messages, len(first))
        if prompt is None:
            messages.pop()
            continue
        completion = Completion(prompt)
        _print_pieces(complete(engine, tokenizer, completion, sampling))
        messages.append({"role": "assistant", "content": completion.text.strip()})


def complete_loop(model: GPT, tokenizer: Tokenizer, sampling: SamplingConfig | None = None) -> None:
    """For a model that knows no turns: it goes on with what the user begins."""
    engine, sampling = Engine(model), sampling or SamplingConfig()
    for said in _lines():
        sys.stdout.write(said)
        try:
            completion = Completion(tokenizer.encode_prompt(said))
            _print_pieces(complete(engine, tokenizer, completion, sampling), strip=False)
        except InputError as error:
            print(f"\n{shown('error')}: {error.told(shown)}", file=sys.stderr)


def _lines():
    """What the user types, line by line, without the empty ones, until Ctrl-D or Ctrl-C."""
    end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
    if sys.stdin.isatty():
        print(shown(f"Say something ({end} to end)."), file=sys.stderr)
    while True:
        try:
            said = input("> " if sys.stdin.isatty() else "").strip()
            said.encode("utf-8")
        except UnicodeError:
            print(shown("error: this line is not valid UTF-8"), file=sys.stderr)
            continue
        except (EOFError, KeyboardInterrupt):
            if sys.stdin.isatty():
                print(file=sys.stderr)  # leave the line of the prompt
            return
        if said:
            yield said


def _fitting_prompt(
    engine: Engine, tokenizer: Tokenizer, messages: list, first: int
) -> list[int] | None:
    """The conversation as token ids. Where it outgrows the context, the oldest turns are forgotten,
    and it is said; None if the last message alone is too long."""
    forgotten = 0
    while True:
        prompt = tokenizer.encode_chat(messages, add_generation_prompt=True)
        if len(prompt) < engine.context_length:
            if forgotten:
                print(shown(f"({forgotten} earlier messages no longer fit)"), file=sys.stderr)
            return prompt
        if len(messages) - first < 3:
            print(
                shown(f"error: this has {len(prompt)} tokens, and the model looks at no more than "
                f"{engine.context_length}\n  fix: say it shorter"), file=sys.stderr,
            )  # fmt: skip
            return None
        del messages[first : first + 2]
        forgotten += 2


def _print_pieces(pieces, strip: bool = True) -> None:
    """Print as it comes, until Ctrl-C; a chat template's space before the answer is not shown."""
    begun = not strip
    with contextlib.suppress(KeyboardInterrupt):
        for piece in pieces:
            text = piece if begun else piece.lstrip()
            begun = begun or bool(text)
            sys.stdout.write(text)
            sys.stdout.flush()
    print()
