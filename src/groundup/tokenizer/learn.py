"""Vocabularies learned from text, by merges and of characters."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from groundup.errors import InputError
from groundup.tokenizer.bpe import learn_merges
from groundup.tokenizer.vocabulary import CharacterVocabulary, MergeVocabulary
from groundup.tokenizer.words import SPLIT_PATTERN, count_words


def learn_bpe(
    texts: Iterable[str],
    n_merges: int,
    special_tokens: Sequence[str],
    progress: Callable[[int, int], None] | None,
    processes: int | None,
) -> MergeVocabulary:
    """`n_merges` merges, or fewer where the texts have no more pairs to join."""
    tokens = {byte: bytes([byte]) for byte in range(256)}
    if n_merges == 0:
        return MergeVocabulary(tokens, [], SPLIT_PATTERN)
    words = count_words(texts, SPLIT_PATTERN, special_tokens, processes)
    if not words:
        raise _no_text()
    merges = learn_merges(words, n_merges, progress)
    for left, right in merges:
        tokens[len(tokens)] = tokens[left] + tokens[right]
    return MergeVocabulary(tokens, merges, SPLIT_PATTERN)


def learn_characters(
    texts: Iterable[str], most: int, special_tokens: Sequence[str]
) -> CharacterVocabulary:
    """The `most` most frequent characters, the unknown one among them."""
    counts: Counter[str] = Counter()
    for text in texts:
        for token in special_tokens:
            text = text.replace(token, "")
        counts.update(text)
    counts.pop(CharacterVocabulary.UNKNOWN, None)
    if not counts:
        raise _no_text()
    if most < 2:
        raise InputError(f"vocab_size is too small: {most} characters", "vocab_size", "use more")
    by_frequency = sorted(counts, key=lambda character: (-counts[character], character))
    return CharacterVocabulary([CharacterVocabulary.UNKNOWN, *sorted(by_frequency[: most - 1])])


def _no_text() -> InputError:
    return InputError("there is no text to learn a vocabulary from", None, "check the files")
