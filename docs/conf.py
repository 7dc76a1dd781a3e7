"""One configuration for both languages of the guide: `sphinx-build -c docs docs/zh -D language=zh_CN`.

What the pages need beyond Sphinx, MyST and furo stands below: formulas as MathML, which every browser shows
without a script; the figure of the path as part of its page, so that its boxes are links; and the way to the
same page in the other language. Nothing is loaded from anywhere else.
"""

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

extensions = ["myst_parser"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
project = "groundup"
html_theme = "furo"
html_title = "groundup"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
html_use_index = False
smartquotes = False
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["guide.css"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "twin.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

# The line under a title that leads to the other language where a page is read as a file.
_TWIN_LINE = re.compile(r"^(?:中文：|English: )\[.*\n", re.M)

_FILE_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\((\.\./[^)#]+\.(?:md|py|toml))\)")

# What docutils knows under another name, or can do without.
_OTHER_NAMES = {
    r"\dots": r"\ldots",
    r"\texttt": r"\text",
    r"\textbf": r"\mathbf",
    r"\bm": r"\mathbf",
    r"\dfrac": r"\frac",
    r"\big": "",
    r"\Big": "",
    "{align}": "{aligned}",
    "{align*}": "{aligned}",
}
_OTHER_NAME = re.compile(r"\\(?:dots|texttt|textbf|bm|dfrac|big|Big)(?![a-zA-Z])|\{align\*?\}")

# A line end that is no space: after and before han characters and full-width marks.
_WIDE = "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”"
_LINE_END = re.compile(
    rf"(?<=[{_WIDE}])\n *(?=[\[*]*[{_WIDE}])|(?<=[，。；：、！？）])\n *(?=[A-Za-z`\[]|\*\*)"
)
_IN_CODE = "\ue000"
_FENCE = re.compile(r"(^( *)```.*?^\2```$)", re.M | re.S)


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline_math, None), block_renderers=(_block_math, None)
    )
    app.connect("source-read", _as_page)
    app.connect("doctree-resolved", _with_figures_inside)
    app.connect("html-page-context", _with_twin)


def _inline_math(visitor, node: nodes.Element) -> None:
    visitor.body.append(_mathml(node))
    raise nodes.SkipNode


def _block_math(visitor, node: nodes.Element) -> None:
    visitor.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, as_block: bool = False) -> str:
    tex = _OTHER_NAME.sub(lambda found: _OTHER_NAMES[found[0]], node.astext())
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", tex, error, location=node)
        return ""


def _as_page(app: Sphinx, name: str, source: list[str]) -> None:
    """The file as it is read on the web: without the line to its twin, and with a copy of what it links
    to in the repository outside of the guide; its lines joined as Chinese is written."""
    here = Path(app.srcdir, name).parent

    def link(found: re.Match) -> str:
        words, target = found.groups()
        outside = not (here / target).resolve().is_relative_to(app.srcdir)
        return f"{{download}}`{words} <{target}>`" if outside else found[0]

    text = _FILE_LINK.sub(link, _TWIN_LINE.sub("", source[0], count=1))
    for code in {found[0] for found in _FENCE.finditer(text)}:
        text = text.replace(code, code.replace("\n", _IN_CODE))
    source[0] = _LINE_END.sub("", text).replace(_IN_CODE, "\n")


def _with_figures_inside(app: Sphinx, doctree: nodes.document, name: str) -> None:
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir, image["uri"])
        if path.name == "path.svg":
            image.replace_self(nodes.raw("", path.read_text(encoding="utf-8"), format="html"))


def _with_twin(app: Sphinx, name: str, template: str, context: dict, doctree) -> None:
    other, words = ("en", "English") if app.config.language == "zh_CN" else ("zh", "中文")
    up = "../" * (name.count("/") + 1)
    exists = Path(app.srcdir).parent.joinpath(other, f"{name}.md").is_file()
    context["twin"] = f"{up}{other}/{name if exists else 'index'}.html"
    context["twin_words"] = words
