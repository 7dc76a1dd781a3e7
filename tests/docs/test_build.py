"""The guide builds into pages that need no network, without a warning, and every link leads somewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from docs.path import CHAPTERS

from tests.docs.pages import DOCS, NAMES

LOADING = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, text: str):
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.places.add(value or "")
            elif (tag, name) in LOADING:
                self.loads.add(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.add(value or "")


def test_every_figure_is_a_picture():
    figures = [*DOCS.glob("figures/*.svg")]
    assert figures and all(
        ElementTree.parse(path).getroot().tag.endswith("svg") for path in figures
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide, built as `make docs` does: a warning is a failure."""
    out = tmp_path_factory.mktemp("guide")
    builds = {
        name: subprocess.Popen(
            [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", DOCS,
             "-D", f"language={language}", DOCS / name, out / name],
            stderr=subprocess.PIPE, text=True,
        )
        for name, language in (("en", "en"), ("zh", "zh_CN"))
    }  # fmt: skip
    told = {name: build.communicate()[1] for name, build in builds.items()}
    assert not any(told.values()) and not any(b.returncode for b in builds.values()), told
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {p: Page(p.read_text(encoding="utf-8")) for p in site.rglob("*.html")}


def test_every_page_is_built_without_a_warning_in_both_languages(site: Path):
    for language in ("en", "zh"):
        for name in NAMES:
            assert (site / language / f"{name}.html").is_file()


def test_every_link_leads_somewhere(pages: dict[Path, Page]):
    for path, content in pages.items():
        for link in content.links | content.loads:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path.name, link)
            if target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target].places, (path.name, link)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]):
    for path, content in pages.items():
        assert not [link for link in content.loads if "//" in link], path
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", style.read_text("utf-8"))


def test_a_page_leads_to_its_twin(site: Path, pages: dict[Path, Page]):
    for language, other, up in (("en", "zh", "../"), ("zh", "en", "../")):
        for name in NAMES:
            twin = f"{up * (name.count('/') + 1)}{other}/{name}.html"
            assert twin in pages[site / language / f"{name}.html"].links


def test_the_figure_of_the_path_leads_to_every_chapter(site: Path, pages: dict[Path, Page]):
    assert {f"chapters/{name}" for name in CHAPTERS} == {
        n for n in NAMES if n.startswith("chapters/")
    }
    for language in ("en", "zh"):
        index = site / language / "index.html"
        figure = re.search(r'<svg class="path".*?</svg>', index.read_text("utf-8"), re.S)
        assert figure and all(f'href="chapters/{name}.html"' in figure[0] for name in CHAPTERS)


FORMULAS = r"""# A

Inline $x_t \dots x_n$ and

$$\frac{1}{2} \big(1 + \texttt{abc}\big)$$

\begin{align} a &= b \\ c &= d \end{align}

$$\nosuchthing$$
"""


def test_a_formula_is_mathml_and_one_that_is_none_is_told(tmp_path: Path):
    (tmp_path / "index.md").write_text(FORMULAS)
    built = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", DOCS, tmp_path, built],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("WARNING") == 1
    assert "nosuchthing" in done.stderr
    text = (built / "index.html").read_text(encoding="utf-8")
    assert all(part in text for part in ("<msub>", "…", "<mfrac>", ">abc<", "<mtable"))
