"""HTML, PDF and DOCX: the text of documents that are laid out for people."""

import io
import random
import zipfile
from pathlib import Path

import docx
import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from groundup.errors import InputError
from groundup.sources.read import read_pieces

ENGLISH = "The parties shall perform their obligations as agreed, in good faith, without delay."
CHINESE = "当事人应当按照约定全面履行自己的义务，遵循诚信原则，根据合同的性质履行通知义务。"


def text_of(path: Path) -> str:
    pieces = list(read_pieces([path]))
    assert [piece.starts_document for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    return "".join(piece.text for piece in pieces)


def page(sentence: str, head: str = "") -> str:
    paragraphs = "".join(f"<p>{n}. {sentence}</p>" for n in range(8))
    return (
        f"<html><head>{head}<title>Law</title><script>var menu = 1;</script></head><body>"
        "<nav><ul><li><a href='/'>Home page</a></li><li><a href='/x'>Log in</a></li></ul></nav>"
        f"<article><h1>Chapter</h1>{paragraphs}</article>"
        "<footer>All rights reserved 2020</footer></body></html>"
    )


def pdf(pages: list[str]) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for line in pages:
        canvas.setFont("STSong-Light", 9)
        canvas.drawString(30, 700, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".html", ".htm", ".xhtml", ".HTML"])
@pytest.mark.parametrize("sentence", [ENGLISH, CHINESE])
def test_the_main_text_of_a_page_is_read_without_its_frame(
    suffix: str, sentence: str, tmp_path: Path
):
    path = tmp_path / f"page{suffix}"
    path.write_text(page(sentence), encoding="utf-8")
    text = text_of(path)
    assert text.startswith("Chapter") and text.count(sentence) == 8
    assert "Log in" not in text and "menu" not in text and "rights reserved" not in text


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("gb18030", "<meta charset=gb2312>"),
        ("gb18030", ""),
        ("big5", '<meta http-equiv="Content-Type" content="text/html; charset=big5">'),
    ],
)
def test_the_encoding_of_a_page_is_the_one_it_names_or_is_found(
    encoding: str, head: str, tmp_path: Path
):
    sentence = CHINESE if encoding == "gb18030" else "當事人應當按照約定全面履行自己的義務。"
    (tmp_path / "a.html").write_bytes(page(sentence, head).encode(encoding))
    assert text_of(tmp_path / "a.html").count(sentence) == 8


def test_a_page_that_names_a_wrong_encoding_is_read_in_its_true_one(tmp_path: Path):
    (tmp_path / "a.html").write_bytes(page(CHINESE, "<meta charset=ascii>").encode())
    assert CHINESE in text_of(tmp_path / "a.html")


def test_a_page_of_a_few_words_is_not_lost(tmp_path: Path):
    (tmp_path / "a.html").write_text("<p>just this</p>")
    assert text_of(tmp_path / "a.html") == "just this"


def test_the_pages_of_a_pdf_are_one_document(tmp_path: Path):
    (tmp_path / "a.pdf").write_bytes(pdf([ENGLISH, CHINESE]))
    text = text_of(tmp_path / "a.pdf")
    assert ENGLISH in text and text.index(CHINESE) > text.index(ENGLISH)


def test_a_pdf_of_pictures_says_that_it_needs_recognition(tmp_path: Path):
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(20, 20, 100, 100, fill=1)
    canvas.save()
    (tmp_path / "scan.pdf").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="scanned") as error:
        text_of(tmp_path / "scan.pdf")
    assert "OCR" in str(error.value) and "scan.pdf" in str(error.value)


def test_an_encrypted_pdf_says_so_and_one_without_password_is_read(tmp_path: Path):
    for password, name in (("secret", "locked.pdf"), ("", "open.pdf")):
        writer = PdfWriter(PdfReader(io.BytesIO(pdf([ENGLISH]))))
        writer.encrypt(password, "owner", algorithm="RC4-128")
        writer.write(tmp_path / name)
    assert ENGLISH in text_of(tmp_path / "open.pdf")
    with pytest.raises(InputError, match="encrypted"):
        text_of(tmp_path / "locked.pdf")


def test_a_pdf_with_modern_encryption_says_that_it_is_encrypted(tmp_path: Path):
    hexadecimal = {key: "ab" * size for key, size in
                   {"O": 48, "U": 48, "OE": 32, "UE": 32, "Perms": 16}.items()}  # fmt: skip
    keys = "".join(f"/{key}<{value}>" for key, value in hexadecimal.items())
    objects = [
        "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
        "2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n",
        "3 0 obj<</Filter/Standard/V 5/R 6/Length 256/P -4/StmF/C/StrF/C"
        f"/CF<</C<</CFM/AESV3/Length 32>>>>{keys}>>endobj\n",
    ]
    body, offsets = "%PDF-2.0\n", []
    for written in objects:
        offsets.append(len(body))
        body += written
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    body += (
        f"xref\n0 4\n0000000000 65535 f \n{table}trailer<</Size 4/Root 1 0 R/Encrypt 3 0 R"
        f"/ID[<00><00>]>>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    (tmp_path / "locked.pdf").write_text(body)
    with pytest.raises(InputError, match="this PDF is encrypted"):
        text_of(tmp_path / "locked.pdf")


def test_headings_paragraphs_and_tables_of_a_word_document_come_in_order(tmp_path: Path):
    document = docx.Document()
    document.add_heading("合同法 Contract law", 1)
    document.add_paragraph(ENGLISH)
    table = document.add_table(2, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "条款"
    for (row, column), text in {(0, 2): "term", (1, 0): "一", (1, 1): "二", (1, 2): "3"}.items():
        table.cell(row, column).text = text
    document.add_paragraph(CHINESE)
    document.save(str(tmp_path / "a.docx"))
    expected = ["合同法 Contract law", ENGLISH, "条款\tterm", "一\t二\t3", CHINESE]
    assert text_of(tmp_path / "a.docx").splitlines() == expected


def test_a_word_document_that_swells_without_measure_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * (100 << 20))
    with pytest.raises(InputError, match="more than 250 times its size"):
        text_of(tmp_path / "a.docx")


@pytest.mark.parametrize("name", ["a.pdf", "a.docx"])
def test_a_damaged_document_is_refused_in_words(name: str, tmp_path: Path):
    document = docx.Document()
    document.add_paragraph(ENGLISH)
    document.save(str(tmp_path / "a.docx"))
    (tmp_path / "a.pdf").write_bytes(pdf([ENGLISH]))
    whole = (tmp_path / name).read_bytes()
    scrambled = bytearray(whole)
    for _ in range(200):
        scrambled[random.Random(7).randrange(len(whole))] ^= 0xFF
    for damaged in (whole[: len(whole) // 3], b"not at all", bytes(scrambled[::-1])):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InputError) as error:
            text_of(tmp_path / name)
        assert name in str(error.value)
