"""The page as people meet it: a real server, and Debian's Chromium driven by playwright."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.chat import CHAT_SPECIAL_TOKENS
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from groundup.weights.directory import save
from tests.serve.conftest import Server, save_tiny, serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
# What a model says here: all of Markdown that is drawn, and what must never run.
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
PIECES = [
    "## Plan\n\n", "Some **bold**, *slanted* and `code <b>`.\n\n",
    "- one\n- two\n  1. deep\n\n", "```python\nprint('<i>1</i>')\n```\n\n",
    "[safe](https://example.org/a) and [unsafe](javascript:alert(1)).\n\n", f"{ATTACK}\n\n",
]  # fmt: skip
ON_AND_ON = " and on"


# Not for the whole session: as long as playwright runs, so does its event loop, and other tests want one of
# their own.
@pytest.fixture(scope="package")
def browser() -> Iterator:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    playwright.expect.set_options(timeout=60_000)  # on a busy machine all takes longer
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def directory(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tokenizer, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def tiny(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A random model that knows turns."""
    with serving(directory, tmp_path_factory.mktemp("log") / "log.txt") as running:
        yield running


@pytest.fixture(scope="session")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model that answers everything with `PIECES`, and then goes on and on."""
    folder = tmp_path_factory.mktemp("speaker")
    save(*saying(PIECES, ON_AND_ON), folder / "speaker")
    with serving(folder / "speaker", folder / "log.txt") as running:
        yield running


def saying(pieces: list[str], last: str) -> tuple[GPT, Tokenizer]:
    """Each piece is one token. The blocks add nothing to the stream, and the head knows of each token
    only which follows it."""
    special = [END_OF_TEXT, *CHAT_SPECIAL_TOKENS, *pieces, last]
    tokenizer = Tokenizer.train_from_iterator(["a b"], 256 + len(special), special)
    tokenizer = tokenizer.with_template("groundup")
    config = preset(
        "nano", vocab_size=tokenizer.vocab_size, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2,
        context_length=4096, initialization="zero-residual", tie_embeddings=False,
    )  # fmt: skip
    model, ids = GPT(config), tokenizer.special_tokens
    prompt = tokenizer.encode_chat([{"role": "user", "content": "a"}], add_generation_prompt=True)
    way = [prompt[-1], *(ids[piece] for piece in pieces), ids[last], ids[last]]
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.embedding.weight[:, -1] = 1
        model.head.weight.zero_()
        for place, (token, following) in enumerate(zip(way, way[1:], strict=False)):
            if token != following:  # the last is reached twice
                model.embedding.weight[token] = torch.eye(32)[place]
            model.head.weight[following, place] = 20
        model.embedding.weight[way[-1]] = torch.eye(32)[len(way) - 2]
    return model, tokenizer


class Watched:
    """A page, and whether it did what it must not: errors, requests to others."""

    def __init__(self, page, server: Server):
        self.page, self.server = page, server
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._look)

    def _look(self, request) -> None:
        if not request.url.startswith(self.server.root):
            self.foreign.append(request.url)


@pytest.fixture
def open_page(browser, tmp_path: Path, request) -> Iterator[Callable]:
    """Open the page of a server, as `open_page(server, language, width, dark)`. At the end it must
    have had no errors, and have asked nobody but its server; and there is a picture of it."""
    opened: list[Watched] = []

    def opening(server: Server, language: str = "en-GB", width: int = 1200, dark: bool = False,
                path: str = "/"):  # fmt: skip
        scheme = "dark" if dark else "light"
        size = {"width": width, "height": 800}
        context = browser.new_context(locale=language, viewport=size, color_scheme=scheme)
        context.set_default_timeout(60_000)
        opened.append(Watched(context.new_page(), server))
        opened[-1].page.goto(server.root + path)
        return opened[-1].page

    opening.watched = opened
    yield opening
    pictures = Path(os.environ.get("GROUNDUP_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    for number, watched in enumerate(opened):
        name = f"{request.module.__name__.rpartition('.')[2]}-{request.node.name}"
        watched.page.screenshot(path=pictures / f"{name}-{number}.png", full_page=True)
        watched.page.context.close()
    for watched in opened:
        assert watched.errors == [] and watched.foreign == []
