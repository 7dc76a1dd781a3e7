"""HTML pages that remain: one file each, without network. Tables, figures, text."""

import html
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f4f4f4; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem 1rem .2rem 0; text-align: left }}
td {{ overflow-wrap: anywhere; vertical-align: top }}
svg {{ max-width: 100%; height: auto }}
{style}</style>
<h1>{title}</h1>
{body}
</html>
"""


def page(title: str, parts: Iterable[str], style: str = "") -> str:
    """The whole page from HTML `parts`, with rules of `style` for those that need their own."""
    return PAGE.format(title=html.escape(title), body="\n".join(parts), style=style)


def heading(text: str, level: int = 2) -> str:
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def preformatted(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def row(cells: Sequence[Any], kind: str) -> str:
        inside = "".join(f"<{kind}>{html.escape(str(cell))}</{kind}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    return f"<table>{row(header, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same table in Markdown, for terminals and documents."""
    lines = [list(header), ["---"] * len(header), *rows]
    cells = ([" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def figure(draw: Callable[[Any], None]) -> str:
    """What `draw` puts on matplotlib's axes, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(8, 4))
    draw(axes)
    axes.grid(alpha=0.3)
    written = io.StringIO()
    drawing.savefig(written, format="svg", bbox_inches="tight")
    pyplot.close(drawing)
    return written.getvalue()[written.getvalue().index("<svg") :]
