"""Signs that a text was damaged before it came here: it can be read, but should be looked at."""

import re
from collections.abc import Iterable, Iterator

from groundup.sources.problems import Report
from groundup.sources.source import Piece, Source

MOST_NOTED = 3
# The replacement character and control characters that no text has; and the usual traces of a wrong
# decoding: UTF-8 read as Latin-1 ("â€™", "Ã©") and U+FFFD read as Chinese ("锟斤拷").
_NEVER = r"\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd"
# One set for the first character, then a look back at which it was: three times as fast to search
# as alternatives.
_DAMAGE = re.compile(rf"[{_NEVER}âÃ锟](?:(?<=[{_NEVER}])|(?<=â)€|(?<=Ã)[\x80-\xbf]|(?<=锟)斤拷)")
_CONTEXT = 20


def note_damage(pieces: Iterable[Piece], source: Source, report: Report) -> Iterator[Piece]:
    """The same pieces; the first damaged lines of this file are reported in passing."""
    noted, line = 0, 1
    for piece in pieces:
        row = piece.where.removeprefix(source.where).removeprefix(":")
        first_line = int(row) if row else line
        for number, excerpt in _damaged_lines(piece.text):
            if noted == MOST_NOTED:
                break
            noted += 1
            at = first_line if row else first_line + number
            report(source.problem(
                "damaged_text", f"damaged characters: {excerpt!r}",
                "look at the original; repair the encoding when cleaning", at,
            ))  # fmt: skip
        line += piece.text.count("\n")
        yield piece


def _damaged_lines(text: str) -> Iterator[tuple[int, str]]:
    """(lines before it, excerpt) of each damaged line."""
    counted_to, lines, last = 0, 0, -1
    for found in _DAMAGE.finditer(text):
        lines += text.count("\n", counted_to, found.start())
        counted_to = found.start()
        if lines != last:
            last = lines
            yield lines, text[max(0, found.start() - _CONTEXT) : found.end() + _CONTEXT]
