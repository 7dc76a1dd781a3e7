"""The guide's pages as text, and what stands in them."""

import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES = ("en", "zh")
NAMES = sorted(
    path.relative_to(DOCS / "en").with_suffix("").as_posix() for path in (DOCS / "en").rglob("*.md")
)
_FENCE = re.compile(r"^( *)```(\S*)([^\n]*)\n(.*?)^\1```$", re.M | re.S)


def page(language: str, name: str) -> str:
    return (DOCS / language / f"{name}.md").read_text(encoding="utf-8")


def code(text: str, kind: str) -> list[str]:
    """The blocks of a page that are ```kind and nothing more, in their order."""
    return [
        textwrap.dedent(inside)
        for _, language, more, inside in _FENCE.findall(text)
        if language == kind and not more.strip()
    ]


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", text)
