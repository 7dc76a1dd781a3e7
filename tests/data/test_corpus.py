"""Clean documents on disk."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.data.corpus import CorpusWriter, read_corpus
from groundup.sources.source import Piece

PIECES = st.lists(
    st.builds(
        Piece, st.text(st.characters(exclude_categories=["Cs"])), st.booleans(), st.just("a.txt:1")
    )
)


@settings(deadline=None)
@given(PIECES)
def test_a_corpus_gives_back_what_was_written(pieces: list[Piece]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.parquet"
        with CorpusWriter(path) as corpus:
            for piece in pieces:
                corpus.add(piece)
        assert list(read_corpus(path)) == pieces
        assert corpus.documents == sum(piece.starts_document for piece in pieces)
        assert corpus.bytes == sum(len(piece.text.encode()) for piece in pieces)


def test_the_checksum_is_of_the_text_and_of_where_documents_begin(tmp_path: Path):
    def checksum(*pieces: Piece) -> object:
        with CorpusWriter(tmp_path / "corpus.parquet") as corpus:
            for piece in pieces:
                corpus.add(piece)
        return corpus.described()["checksum"]

    one = checksum(Piece("ab", True, "x"), Piece("c", True, "x"))
    assert one == checksum(Piece("ab", True, "elsewhere"), Piece("c", True, "y"))
    assert one != checksum(Piece("a", True, "x"), Piece("bc", True, "x"))
    assert one != checksum(Piece("ab", True, "x"), Piece("c", False, "x"))
