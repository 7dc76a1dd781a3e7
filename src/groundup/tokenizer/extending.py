"""Words of a domain become tokens of a vocabulary that others made.

Added words are found before the vocabulary's own rules see a text, and get ids behind all others. So
the ids of every text without them are what they were, whatever kind the vocabulary is of.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from groundup.errors import InputError
from groundup.language import N_
from groundup.sources.read import read_pieces
from groundup.tokenizer.library import whole_characters
from groundup.tokenizer.saving import add_tokens, described_words
from groundup.tokenizer.tokenizer import Tokenizer

_REMOVE = (N_("the words"), N_("correct or remove them"))


def extended(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """`tokenizer` with an id for each of `words`, in their order, from `tokenizer.vocab_size` on.

    A word is found wherever its text stands, within other words too; a space before it belongs to it.
    Raises `InputError` for words that cannot be added: see `check_words`.
    """
    check_words(tokenizer, words)
    ids = {word: tokenizer.vocab_size + i for i, word in enumerate(words)}
    files = whole_files(tokenizer)
    add_tokens(files, described_words(ids))
    longer = Tokenizer.from_files(files, N_("the extended tokenizer"))
    if taken := [word for word, id_ in ids.items() if pieces_of(longer, word) != [id_]]:
        # In a tokenizer.json of BPE on bytes, é is how the byte E9 is written.
        raise InputError(
            f"these words would get ids of other tokens: {listed(taken)}", "the words",
            "the vocabulary's file has tokens of this spelling, or leaves ids out",
        )  # fmt: skip
    return longer


def whole_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """The files of a tokenizer and what its model's say of the end of a text."""
    name = "generation_config.json"
    loaded = tokenizer.framing.files
    return tokenizer.files() | {name: loaded[name] for name in [name] if name in loaded}


def pieces_of(tokenizer: Tokenizer, word: str) -> list[int]:
    """The ids of a word in the middle of a text."""
    return tokenizer.vocabulary.encode(word, begins=False)


def read_words(path: str | Path) -> list[str]:
    """The words of a file, one a line; a space at the beginning of a line belongs to the word."""
    text = "".join(piece.text for piece in read_pieces([path]))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def check_words(tokenizer: Tokenizer, words: Sequence[str]) -> None:
    """Raises `InputError` for words that are empty or no text, or there twice; that stand in the way
    of a special token; that are one token already, alone or after a space."""
    if not words:
        raise InputError("there are no words to add", *_REMOVE[:1], "write one word a line")
    counts = Counter(words)
    begins = "" if tokenizer.vocabulary.prefix else " "
    wrong = {
        N_("empty, or with a line end, or with a space where none may be"): [
            word for word in words if not is_word(word.removeprefix(begins))
        ],
        N_("there more than once"): [word for word in counts if counts[word] > 1],
        N_("with a special token inside, or ending as one begins"): [
            word for word in words if meets_special(tokenizer, word)
        ],
        N_("one token already, alone or after a space"): [
            word for word in words if is_token(tokenizer, word)
        ],
    }
    for what, found in wrong.items():
        if found:
            raise InputError(f"words that cannot be added, {what}: {listed(found)}", *_REMOVE)


def is_word(word: str) -> bool:
    """Whether a text is one that can be found, and given back, as a word."""
    return word == word.strip() == "".join(word.splitlines()) == whole_characters(word) != ""


def is_token(tokenizer: Tokenizer, word: str) -> bool:
    """Whether a word has an id already, at least after a space: one more would take its place."""
    for form in [word] if word.startswith(" ") else [word, f" {word}"]:
        pieces = pieces_of(tokenizer, form)
        # Not where the one piece says "unknown".
        if len(pieces) == 1 and tokenizer.token_bytes(pieces[0]) == form.encode():
            return True
    return False


def meets_special(tokenizer: Tokenizer, word: str) -> bool:
    """Whether a word could be found where a special token stands: it holds one, or its end is the
    beginning of one."""
    ends = [word[at:] for at in range(len(word))]
    return any(
        token in word or any(token.startswith(end) for end in ends)
        for token in tokenizer.special_tokens
    )


def listed(words: Sequence[str]) -> str:
    shown = ", ".join(map(repr, words[:5]))
    return shown if len(words) <= 5 else N_(f"{shown} and {len(words) - 5} more")
