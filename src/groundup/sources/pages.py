"""Documents that are laid out for people: HTML, PDF and DOCX, each file one document.

The libraries that parse them are imported where they are used: they take a moment to load.
"""

import codecs
import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import IO, Any, cast

from groundup.errors import GroundupError
from groundup.sources.archives import refuse_zip_bomb
from groundup.sources.encodings import find_encoding, fits
from groundup.sources.source import Source, Stream, open_seekable


def html_text(source: Source) -> Iterator[str]:
    """The main text of a page, without menus, banners and footers (by trafilatura, Barbaresi 2021,
    https://aclanthology.org/2021.acl-demo.15); where it finds none, all text of the page."""
    import trafilatura

    with source.open() as stream:
        page = stream.read()
    with _parsing(source, "HTML page", "trafilatura"):
        whole = _whole_page(page.decode(_declared_encoding(page) or find_encoding(page, source)))
        text = trafilatura.extract(whole, include_comments=False) or trafilatura.html2txt(whole)
    if not text.strip():
        raise source.unreadable("no_text", "this page has no text", "leave it out")
    yield from text.splitlines(keepends=True)


def pdf_text(source: Source) -> Iterator[str]:
    """The text of a PDF, page by page (by pypdf)."""
    found = False
    with open_seekable(source) as stream, _parsing(source, "PDF", "pypdf"):
        document = _open_pdf(stream, source)
        for page in document.pages:
            text = page.extract_text()
            found = found or bool(text.strip())
            yield text + "\n"
    if not found:
        raise source.unreadable(
            "no_text", "this PDF has no text: its pages are pictures, most likely scanned",
            "recognise the text first (OCR), for example with ocrmypdf",
        )  # fmt: skip


def _open_pdf(stream: Stream, source: Source) -> Any:
    """The parsed PDF, if it needs no password: many are encrypted with an empty one."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    what = "this PDF is encrypted"
    try:
        document = PdfReader(cast("IO[bytes]", stream))
        if document.is_encrypted and not document.decrypt(""):
            raise source.unreadable("encrypted", what, "save a copy without its password")
    except DependencyError as error:
        fix = "install the package cryptography, or save a copy without a password"
        raise source.unreadable("encrypted", f"{what}: {error}", fix) from error
    return document


def docx_text(source: Source) -> Iterator[str]:
    """Headings, paragraphs and tables of a Word document in their order (by python-docx)."""
    import docx

    with open_seekable(source) as stream, _parsing(source, "Word document", "docx"):
        # It is a zip archive inside, which is unpacked in memory: refuse a bomb before that.
        with zipfile.ZipFile(stream) as archive:
            refuse_zip_bomb(archive, stream, source)
        stream.seek(0)
        for line in _blocks(docx.Document(cast("IO[bytes]", stream))):
            yield line + "\n"


DOCUMENT_READERS: dict[str, Callable[[Source], Iterator[str]]] = {
    ".html": html_text,
    ".htm": html_text,
    ".xhtml": html_text,
    ".pdf": pdf_text,
    ".docx": docx_text,
}


def _blocks(container: Any) -> Iterator[str]:
    """The lines of a document or table cell; the cells of a row stand on one line, tabs between."""
    for block in container.iter_inner_content():
        if hasattr(block, "rows"):
            for row in block.rows:
                # A merged cell is listed once for each column that it covers.
                cells = [next(same) for _, same in groupby(row.cells, key=lambda cell: cell._tc)]
                yield "\t".join(" ".join(_blocks(cell)) for cell in cells)
        else:
            yield block.text


def _whole_page(page: str) -> str:
    """The page, its frame put around it if it is only a part: trafilatura finds nothing without."""
    has_frame = re.search("<(html|body)", page, re.IGNORECASE)
    return page if has_frame else f"<html><body>{page}</body></html>"


_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([\w-]+)""", re.IGNORECASE)
_LARGER = {"gb2312": "gb18030", "gbk": "gb18030"}


def _declared_encoding(page: bytes) -> str | None:
    """The encoding that a page names in its head, if the page really is in it."""
    found = _CHARSET.search(page[:2048])
    name = found[1].decode("ascii").lower() if found else ""
    try:
        codecs.lookup(name)
    except LookupError:
        return None
    name = _LARGER.get(name, name)
    return name if fits(page, name) else None


@contextmanager
def _parsing(source: Source, kind: str, library: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into our error. Broken files make these
    libraries raise nearly anything (pypdf's documentation says so), hence the wide net; their
    warnings are silenced, since we report the outcome."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except (GroundupError, OSError):
        raise
    except Exception as error:
        what = f"not a readable {kind}: {type(error).__name__}: {str(error)[:80]}"
        raise source.unreadable("broken_file", what, "open and save it again") from error
    finally:
        logger.setLevel(level)
