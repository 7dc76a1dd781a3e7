"""The diagram of a model as text and as HTML.

A line runs down from the ids to the logits: the residual stream. What leaves it to the right comes back
at a ⊕, so that one sees which norms stand on the stream and which beside it.
"""

import html
import textwrap
from collections.abc import Iterator
from unicodedata import east_asian_width

from groundup.language import N_, shown
from groundup.model.diagram import Block, Diagram, Part, Residual

# Columns: the whole, the frames, and where the stream and its branches run.
WIDTH, FRAME, STREAM, BRANCH = 90, 70, 6, 13
# Stands after each character that takes two columns, so that a text is as long as it is wide.
FILLER = "\0"
ASCII = str.maketrans("│─┌┐└┘┴┬├⊕◄×→²", "|-+++++++O<x>2")

Line = tuple[str, str]
"""What is drawn, and the parameters to the right of it."""


def to_text(found: Diagram) -> str:
    """The diagram in box characters, no wider than `WIDTH`, with parameters to the right."""
    lines = [f"{left:<{FRAME}}{size:>{WIDTH - FRAME}}" for left, size in _lines(found)]
    return "\n".join(line.rstrip() for line in lines).replace(FILLER, "")


def to_ascii(text: str) -> str:
    """The same text for an encoding that has no box characters: one character for another."""
    return text.translate(ASCII)


def _lines(found: Diagram) -> Iterator[Line]:
    yield f"  {_shown(N_('token ids'))}", _shown(N_("parameters"))
    yield _stream()
    for part in found.before:
        yield from _box(part, 2, STREAM, FRAME - 2)
    for text in textwrap.wrap(_shown(found.stream), FRAME - STREAM - 4, break_on_hyphens=False):
        yield f"{'':<{STREAM}}│   {text}", ""
    for block in found.blocks:
        yield _stream()
        yield from _frame(block)
    yield _stream()
    for part in found.after:
        yield from _box(part, 2, STREAM, FRAME - 2)
    yield _stream()
    yield f"  {_shown(N_('logits of the next token'))}", ""


def _shown(text: str) -> str:
    """A text in the reader's language, with its fillers."""
    return "".join(c + FILLER if east_asian_width(c) in "WF" else c for c in shown(text))


def _stream() -> Line:
    return f"{'':<{STREAM}}│", ""


def _box(part: Part, left: int, line: int, right: int) -> Iterator[Line]:
    """A box from column `left` to `right`, which the line in column `line` goes in and out of."""
    width, before, after = right - left - 1, line - left - 1, right - line - 1
    yield f"{'':<{left}}┌{'─' * before}┴{'─' * after}┐", ""
    size = _size(part)
    for text in _words(part, width - 2):
        yield f"{'':<{left}}│ {text:<{width - 1}}│", size
        size = ""
    yield f"{'':<{left}}└{'─' * before}┬{'─' * after}┘", ""


def _size(part: Part) -> str:
    return f"{part.parameters:,}" if part.parameters else ""


def _words(part: Part, width: int) -> Iterator[str]:
    yield _shown(part.title)
    for detail in part.details:
        yield from textwrap.wrap(
            _shown(detail), width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False,
        )  # fmt: skip


def _frame(block: Block) -> Iterator[Line]:
    """The parts of a block in a frame that carries its name."""
    title = f"── {_shown(block.title)} ".ljust(FRAME - STREAM - 2, "─")
    yield f"┌{'─' * (STREAM - 1)}┴{title}┐", _shown(N_(f"each {block.parameters:,}"))
    for step in block.steps:
        yield _framed(_stream())
        yield from map(_framed, _step(step))
    yield _framed(_stream())
    yield f"└{'─' * (STREAM - 1)}┬{'─' * (FRAME - STREAM - 2)}┘", ""


def _framed(line: Line) -> Line:
    left, size = line
    return f"│{left[1:]:<{FRAME - 2}}│", size


def _step(step: Part | Residual) -> Iterator[Line]:
    if isinstance(step, Part):
        yield from _box(step, 2, STREAM, FRAME - 3)
        return
    out = "─" * (BRANCH - STREAM - 1)
    yield f"{'':<{STREAM}}├{out}┐", ""
    for part in step.branch:
        for left, size in _box(part, BRANCH - 4, BRANCH, FRAME - 3):
            yield f"{'':<{STREAM}}│{left[STREAM + 1 :]}", size
    yield f"{'':<{STREAM}}⊕◄{out[1:]}┘", ""


STYLE = """
.model { position: relative; max-width: 42rem; padding: 1.6rem 0 }
.model::before { content: ""; position: absolute; left: 1.4rem; top: 1.6rem; bottom: 1.6rem; width: 3px;
  background: #6b86a8 }
.end { position: absolute; margin: 0 }
.end:first-child { top: 0 }
.end:last-child { bottom: 0 }
.aside { margin: .8rem 0 .8rem 2.5rem; color: #444 }
.part { position: relative; overflow: hidden; margin: .8rem 0; padding: .3rem .7rem; background: #fff;
  border: 1px solid #6b86a8; border-radius: .4rem }
.part ul { margin: 0; padding: 0; list-style: none; font-size: .85rem; color: #444 }
.part li { padding-left: 1rem; text-indent: -1rem }
.size { float: right; margin-left: 1rem; font: .85rem/1.8 system-ui, sans-serif; color: #444;
  font-variant-numeric: tabular-nums }
.block { border: 1px dashed #6b86a8; border-radius: .6rem; background: #edf2f8; margin: .8rem 0;
  padding: .4rem .6rem .4rem 0 }
.block h3 { margin: 0 0 0 2.5rem; font-size: 1rem }
.block > .part { margin-left: .6rem }
.residual { position: relative; margin: .8rem 0 1.4rem 1.4rem; padding: .2rem 0 }
.residual::before { content: ""; position: absolute; left: 0; top: 0; bottom: 0; width: 3rem;
  border: solid #6b86a8; border-width: 3px 3px 3px 0 }
.residual .part { margin-left: 1.2rem }
.sum { position: absolute; left: calc(1px - .7rem); bottom: calc(1px - .7rem); width: 1.3rem; height: 1.3rem;
  line-height: 1.2rem; text-align: center; border-radius: 50%; border: 1px solid #6b86a8; background: #fff }
"""


def to_html(found: Diagram) -> str:
    """The diagram as HTML boxes, to which `STYLE` gives lines: readable at any width."""
    return "\n".join(
        [
            '<div class="model">',
            _element("p", "end", "token ids"),
            *map(_part_html, found.before),
            _element("p", "aside", found.stream),
            *map(_block_html, found.blocks),
            *map(_part_html, found.after),
            _element("p", "end", "logits of the next token"),
            "</div>",
        ]
    )


def _element(name: str, kind: str, text: str) -> str:
    return f'<{name} class="{kind}">{html.escape(text)}</{name}>'


def _part_html(part: Part) -> str:
    lines = "".join(f"<li>{html.escape(detail)}</li>" for detail in part.details)
    details = f"<ul>{lines}</ul>" if lines else ""
    size = _element("span", "size", _size(part))
    return f'<div class="part">{size}{html.escape(part.title)}{details}</div>'


def _block_html(block: Block) -> str:
    size = _element("span", "size", f"each {block.parameters:,}")
    steps = "\n".join(map(_step_html, block.steps))
    return f'<div class="block">{size}<h3>{html.escape(block.title)}</h3>\n{steps}</div>'


def _step_html(step: Part | Residual) -> str:
    if isinstance(step, Part):
        return _part_html(step)
    branch = "".join(map(_part_html, step.branch))
    return f'<div class="residual">{branch}{_element("span", "sum", "+")}</div>'
