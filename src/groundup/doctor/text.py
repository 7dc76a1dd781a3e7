"""Symptoms in the text: tokenizer, token ids, their order, and what the model says."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from groundup.doctor.finding import Finding
from groundup.doctor.run import ExaminedRun
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import CharacterVocabulary, MergeVocabulary

COUNTED_TOKENS = 1 << 20
BLOCKS = 8


def long_text_of_short_tokens(run: ExaminedRun) -> Iterator[Finding]:
    """A vocabulary of pieces under which the text falls into single bytes: fewer than 1.3 bytes per
    token. The first 40 merges learned from a text already give 1.4, in English as in Chinese."""
    if not run.train or not len(run.train) or not run.tokenizer:
        return
    merges = len(getattr(run.tokenizer.vocabulary, "merges", []))
    if merges >= 40 and run.train.bytes_per_token < 1.3:
        yield Finding(
            "tokenizer-misfit", "the tokenizer was made for another kind of text",
            f"{run.train.bytes_per_token:.2f} bytes per token, with {merges:,} merges learned "
            f"({run.data})",
            "learn the tokenizer from this text, or from text of its language",
        )  # fmt: skip


def unused_ids(run: ExaminedRun) -> Iterator[Finding]:
    """A vocabulary of which most never occurs: their rows of embedding and head stay as they began.
    Of a vocabulary learned from the text a tenth may go unused (pieces of longer pieces), and fewer
    than a hundred cost nothing."""
    if not run.train or not run.tokenizer or len(run.train) < 1000:
        return
    learned = _learned_ids(run.tokenizer)
    used = np.bincount(_ids(run), minlength=run.tokenizer.vocab_size) > 0
    if len(learned) < 100:
        return
    unused = 1 - used[learned].mean()
    if unused > 0.5:
        yield Finding(
            "unused-vocabulary", "most of the vocabulary never occurs in the text",
            f"{unused:.0%} of {len(learned):,} learned ids are not among the first "
            f"{min(len(run.train), COUNTED_TOKENS):,} training tokens ({run.data})",
            "learn a smaller tokenizer from this text, with a vocabulary of a few thousand",
        )  # fmt: skip


def unknown_characters(run: ExaminedRun) -> Iterator[Finding]:
    """Characters that a vocabulary of characters has not, above one in a hundred."""
    if not run.train or not run.tokenizer or not len(run.train):
        return
    vocabulary = run.tokenizer.vocabulary
    if not isinstance(vocabulary, CharacterVocabulary):
        return
    share = float((_ids(run) == vocabulary.ids[vocabulary.UNKNOWN]).mean())
    if share > 0.01:
        yield Finding(
            "unknown-characters", "many characters are not in the vocabulary",
            f"{share:.1%} of the training tokens are the unknown character ({run.data})",
            "use a larger tokenizer.vocab_size, or kind = \"bpe\", which knows every text",
        )  # fmt: skip


def vocabulary_mismatch(run: ExaminedRun) -> Iterator[Finding]:
    """Token ids that were made with another tokenizer than the run's, or that the model has not."""
    made_with = run.data_index.get("tokenizer")
    if made_with and run.tokenizer and made_with != run.tokenizer.fingerprint:
        yield Finding(
            "vocabulary-mismatch", "the text was encoded with another tokenizer",
            f"fingerprint {made_with[:12]} in {run.data}, {run.tokenizer.fingerprint[:12]} in "
            f"{run.path / 'tokenizer'}",
            "put the tokenizer back that the text was encoded with, or begin again in a new folder",
        )  # fmt: skip
        return
    if run.train and run.config and len(run.train):
        largest = int(_ids(run).max())
        if largest >= run.config.vocab_size:
            yield Finding(
                "vocabulary-mismatch", "the text has token ids that the model has not",
                f"id {largest} in {run.data}; the model's vocab_size is {run.config.vocab_size}",
                "prepare the text with the model's tokenizer",
            )  # fmt: skip


def sample_repeats(run: ExaminedRun) -> Iterator[Finding]:
    """The last two samples say the same few characters over and over: fewer than a third of their
    runs of five characters are different ones. In natural text nine tenths are."""
    samples = [row["sample"] for row in run.evaluations[-2:]]
    shares = [distinct_share(sample) for sample in samples if len(sample) > 40]
    if shares and len(shares) == len(samples) and max(shares) < 0.33:
        yield Finding(
            "sample-repeats", "the model only repeats itself",
            f"{max(shares):.0%} of the runs of five characters in the sample at step "
            f"{run.evaluations[-1]['step']} are different: {samples[-1][:40]!r} ({run.metrics_path})",
            "look whether the training text repeats itself (`groundup data report`) and remove the "
            "copies; otherwise train longer, or with a lower learning rate",
        )  # fmt: skip


def distinct_share(text: str, length: int = 5) -> float:
    """How many of the runs of `length` characters are different ones.

    >>> distinct_share("abababababab")
    0.25
    """
    runs = Counter(text[i : i + length] for i in range(len(text) - length + 1))
    return len(runs) / max(1, runs.total())


def sorted_data(run: ExaminedRun) -> Iterator[Finding]:
    """Text read from first to last whose parts differ: one language or topic after another, so that
    the model forgets the first. Between eight blocks in order, and between the same windows
    shuffled into eight blocks, the token frequencies are compared; 0.25 bits more is another kind of
    text (a text that grows harder, as the sample world's, differs by 0.1, English and Chinese by
    1)."""
    if run.recipe.pretrain.windows.order != "sequential" or not run.train or not run.config:
        return
    ids, length = _ids(run, spread=True), min(run.config.context_length, 256)
    rows = len(ids) // length // BLOCKS * BLOCKS
    if rows < 4 * BLOCKS:
        return
    windows = ids[: rows * length].reshape(rows, length)
    shuffled = windows[np.random.default_rng(0).permutation(rows)]
    more = _difference(windows) - _difference(shuffled)
    if more > 0.25:
        yield Finding(
            "sorted-data", "sorted text is read from first to last",
            f"the token frequencies of {BLOCKS} parts in order differ by {more:.2f} bits more than if "
            f'they were shuffled (windows.order = "sequential" in recipe.toml; {run.data})',
            'set windows.order to "shuffled"',
        )  # fmt: skip


def _difference(windows: Int[np.ndarray, "rows length"]) -> float:
    """The Jensen–Shannon divergence between the token frequencies of `BLOCKS` blocks, in bits."""
    size = int(windows.max()) + 1
    counts = [np.bincount(block.ravel(), minlength=size) for block in np.split(windows, BLOCKS)]
    shares = np.stack(counts) / counts[0].sum()
    return _entropy(shares.mean(axis=0)) - float(np.mean([_entropy(p) for p in shares]))


def _entropy(p: Float[np.ndarray, " vocab"]) -> float:
    some = p[p > 0]
    return float(-(some * np.log2(some)).sum())


def _ids(run: ExaminedRun, spread: bool = False) -> Int[np.ndarray, " count"]:
    """The first training ids, up to `COUNTED_TOKENS`; with `spread`, pieces from all over."""
    assert run.train is not None
    if not spread or len(run.train) <= COUNTED_TOKENS:
        return run.train.read(0, min(len(run.train), COUNTED_TOKENS))
    piece = COUNTED_TOKENS // 64
    starts = np.linspace(0, len(run.train) - piece, 64).astype(int).tolist()
    return np.concatenate([run.train.read(start, start + piece) for start in starts])


def _learned_ids(tokenizer: Tokenizer) -> list[int]:
    """The ids that stand for more than a byte; of a vocabulary of characters, all."""
    tokens = tokenizer.vocabulary.tokens
    whole = isinstance(tokenizer.vocabulary, MergeVocabulary)
    return [id_ for id_, token in tokens.items() if len(token) > 1 or not whole]
