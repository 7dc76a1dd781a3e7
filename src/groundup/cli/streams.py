"""What goes through standard input and standard output: text that is read, the one JSON object."""

import json
import sys
from typing import Any

from groundup.errors import InputError


def standard_input() -> str:
    """All that comes in, as text."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not valid UTF-8: {error.reason}", "standard input") from None


def print_json(content: dict[str, Any]) -> None:
    """The one JSON object on standard output."""
    json.dump(content, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")
