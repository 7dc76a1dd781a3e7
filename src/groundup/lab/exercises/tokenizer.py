"""Exercises on tokenizers."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import regex

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_
from groundup.tokenizer.bpe import encode_word, learn_merges_simply
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import CharacterVocabulary, MergeVocabulary

BYTES = {byte: bytes([byte]) for byte in range(256)}
# 机 and 人 end in the same byte, which therefore stands more often before 器 than each of them does.
PARTS = ("a", "a", "b", "b", "ab", "机器", "人器")
LETTERS = "aabbc"


def word(draw: Draw, parts: Sequence[str], count: int) -> bytes:
    return "".join(draw.choice(parts) for _ in range(count)).encode()


def words(draw: Draw, count: int, parts: Sequence[str] = PARTS) -> dict[bytes, int]:
    return {word(draw, parts, draw.integer(1, 6)): draw.integer(1, 5) for _ in range(count)}


def merges(draw: Draw, count: int, parts: Sequence[str] = PARTS) -> dict[tuple[int, int], int]:
    learned = learn_merges_simply(words(draw, 20, parts), count)
    return {pair: 256 + i for i, pair in enumerate(learned)}


def split_words(draw: Draw) -> tuple:
    counted, known = words(draw, 8), merges(draw, 2 * draw.integer(0, 2))
    return {each: encode_word(each, known) for each in counted}, counted


def ids_and_pair(draw: Draw) -> tuple:
    """Runs of the same id, of which each may be merged once only, and a text without ids."""
    pair = draw.in_turn(((1, 1), (1, 2), (1, 1), (2, 3), (1, 2)))
    ids = [
        1,
        1,
        1,
        2,
        1,
        1,
        1,
        1,
        3,
        2,
        1,
        *(draw.integer(1, 3) for _ in range(draw.integer(2, 6))),
    ]
    return draw.in_turn((ids, ids, ids, ids, [])), pair, 9


def words_and_count(draw: Draw) -> tuple:
    return words(draw, 12), draw.choice((4, 9, 100))


def word_and_merges(draw: Draw) -> tuple:
    return word(draw, LETTERS, draw.choice((1, 20, 25, 30))), merges(draw, 12, LETTERS)


def ids_and_tokens(draw: Draw) -> tuple:
    """Some of the bytes of a text, so that characters are cut off, and tokens that hold parts of some."""
    prefix = draw.choice((b"", b" "))
    tokens = {256: b" the", 257: "机".encode()[:2], 258: "机器".encode(), 259: "é".encode()[1:]}
    text = list(prefix + draw.choice((b"", b" ")) + "é猫🙂".encode())
    ids = [
        *text[: len(text) - draw.integer(0, 3)],
        *(draw.integer(256, 259) for _ in range(5)),
        300,
    ]
    return ids, tokens, prefix


def decoded(part: type[Tokenizer], ids: list[int], tokens: dict[int, bytes], prefix: bytes) -> str:
    vocabulary = CharacterVocabulary(())  # of which nothing but these is needed
    vocabulary.tokens, vocabulary.prefix = BYTES | tokens, prefix
    return part(vocabulary, {"<|end|>": 300}).decode(ids)


def learning(part: Callable) -> Callable:
    """`learn_merges` by a learner's function, which tells no progress. It counts all words anew for each
    merge, so it is spared those that occur once: they hardly ever win a merge, and are the most."""

    def learn_merges(words, n_merges, progress=None):
        often = {word: count for word, count in words.items() if count > 1}
        return part(often or words, n_merges)

    return learn_merges


def learning_simply(part: Callable) -> Callable:
    """`learn_merges` in the form that calls the learner's part, which has taken the place of ours."""
    return learning(learn_merges_simply)


def encoding(part: Callable) -> Callable:
    """`MergeVocabulary.encode` in the form that calls the learner's part: once for each word."""
    ids_of: Any = cache(MergeVocabulary.encode_word)

    def encode(self: MergeVocabulary, text: str, begins: bool = True) -> list[int]:
        return [id_ for word in regex.findall(self.pattern, text) for id_ in ids_of(self, word)]

    return encode


def encoding_batch(part: Callable) -> Callable:
    """`MergeVocabulary.encode_batch`, by the plugged `encode`."""
    return lambda self, texts: [self.encode(text) for text in texts]


BPE = "groundup.tokenizer.bpe"
VOCABULARY = "groundup.tokenizer.vocabulary:MergeVocabulary"

EXERCISES = (
    Exercise(
        name="count_pairs",
        target=f"{BPE}:count_pairs",
        title=N_("Counting pairs"),
        text=N_("""\
Byte-pair encoding (Sennrich et al. 2016) begins with bytes and joins, again and again, the two neighbours that
stand together most often. So first of all the pairs are counted.

The text is known by its different words: `words` says how often each occurs, `splits` of which tokens each
consists by now. A pair in a word that occurs 5 times occurs 5 times. Pairs overlap: in 1 2 3 there are (1, 2)
and (2, 3). No pair reaches from one word into another.

    splits  "aab": [97, 97, 98]    "ab": [97, 98]
    words   "aab": 1               "ab": 5
    result  (97, 97): 1            (97, 98): 1 + 5 = 6
"""),
        hints=(
            N_("How many pairs of neighbours has a word of n tokens? And how often does each of them occur "
               "in the text?"),
            N_("Go through the words. Put the tokens beside the same tokens moved on by one; for each pair, "
               "add the count of the word to the pair's."),
            N_("for word, ids in splits.items(): for pair in zip(ids, ids[1:]): counts[pair] += words[word], "
               "with counts = Counter()."),
        ),
        inputs=split_words,
        plugs=(Plug(f"{BPE}:count_pairs"), Plug(f"{BPE}:learn_merges", learning_simply)),
        mistakes=(
            Mistake("counts[pair] += words[word]", "counts[pair] += 1",
                    N_("Each word counts once. A pair occurs as often as the word does that it stands in.")),
            Mistake("zip(ids, ids[1:], strict=False)", "zip(ids[::2], ids[1::2], strict=False)",
                    N_("The pairs do not overlap: each token but the first and the last is in two of them.")),
            Mistake("in zip(ids, ids[1:], strict=False)", "in set(zip(ids, ids[1:], strict=False))",
                    N_("A pair that stands in a word twice is counted once there.")),
            Mistake("counts[pair] +=", "counts[min(pair), max(pair)] +=",
                    N_("The order of a pair was lost: (1, 2) and (2, 1) are two pairs.")),
            Mistake("counts[pair] += words[word]", "counts[pair] = words[word]",
                    N_("The count of a pair is overwritten by that of the last word with it: add them up.")),
        ),
    ),
    Exercise(
        name="merge",
        target=f"{BPE}:merge",
        title=N_("Merging a pair"),
        text=N_("""\
When the most frequent pair has been found, it becomes a token of its own: wherever the two stand side by side,
the new token takes their place. The list becomes shorter, the text that it stands for stays the same.

The list is read from left to right, and a token that was joined is used up: of 1 1 1 with the pair (1, 1) the
first two are joined and the third is left.

    ids 1 2 1 2 3, pair (1, 2), new id 9   →   9 9 3
    ids 1 1 1,     pair (1, 1), new id 9   →   9 1
"""),
        hints=(
            N_("By how many places do you go on after a joined pair, and by how many otherwise?"),
            N_("A new list and a place i that goes on from 0: if the pair stands at i and i + 1, append the "
               "new id and go on by two; otherwise append the id at i and go on by one."),
            N_("while i < len(ids): the test is tuple(ids[i : i + 2]) == pair, which is simply false where "
               "only one id is left."),
        ),
        inputs=ids_and_pair,
        plugs=(Plug(f"{BPE}:merge"), Plug(f"{BPE}:learn_merges", learning_simply)),
        mistakes=(
            Mistake("i += 2", "i += 1",
                    N_("After a joined pair its second id is read again: go on by two.")),
            Mistake("while i < len(ids):", "while i < len(ids) - 1:",
                    N_("The last id gets lost when it is not part of the pair.")),
            Mistake("== pair:", "== pair and new_id not in merged:",
                    N_("Only the first occurrence is replaced.")),
            Mistake("== pair:", "in (pair, pair[::-1]):",
                    N_("The pair is replaced in the other order as well.")),
        ),
    ),
    Exercise(
        name="learn_merges",
        target=f"{BPE}:learn_merges_simply",
        title=N_("Learning a vocabulary"),
        text=N_("""\
The vocabulary of byte-pair encoding grows by one token at a time. At first there are 256, the bytes. Then, over
and over: count the pairs, take the most frequent one, make it a new token, join it in all words. Frequent words
become one token, rare ones stay in pieces, and any text can be written.

Given are `words`, the bytes of each word and how often it occurs, and how many merges to learn. What comes back
is the list of the pairs in the order of learning: pair number i made token 256 + i.

Two rules make the result the same everywhere. Of equally frequent pairs the smaller one is taken, compared as
tuples. And is_allowed(token), given the bytes of the token that a pair would make, must say yes: it forbids
tokens of one character and a piece of the next one, which in Chinese would waste the vocabulary. When no
allowed pair is left, learning ends early.

    words "ab": 3, "abc": 2, "bc": 1   →   (97, 98), which occurs 5 times; "ab" is token 256
                                       →   then (256, 99) with 2, ahead of (98, 99) with 1
"""),
        hints=(
            N_("What must be known of each word, and what of each token, from one round to the next?"),
            N_("Keep the bytes of each token in a list, and the ids of each word in a dict. A round is: "
               "count_pairs, leave out what is not allowed, take the best, merge it in every word, add its "
               "bytes to the list and the pair to the result."),
            N_("The best pair is min(allowed, key=lambda pair: (-counts[pair], pair)): the highest count "
               "first, the smaller ids among equals."),
        ),
        inputs=words_and_count,
        plugs=(Plug(f"{BPE}:learn_merges", learning),),
        mistakes=(
            Mistake(" if is_allowed(tokens[pair[0]] + tokens[pair[1]])", "",
                    N_("Pairs are joined that is_allowed forbids: a character and a part of the next one.")),
            Mistake("(-counts[pair], pair)", "-counts[pair]",
                    N_("Of equally frequent pairs the one that was seen first is taken, which depends on the "
                       "order of the words. Take the smaller one.")),
            Mistake("min(allowed, key=lambda pair: (-counts[pair], pair))",
                    "max(allowed, key=lambda pair: (counts[pair], pair))",
                    N_("Of equally frequent pairs the larger one is taken instead of the smaller one.")),
            Mistake("count_pairs(splits, words)", "count_pairs(splits, dict.fromkeys(words, 1))",
                    N_("Every word counts as if it occurred once.")),
            Mistake("splits = {word: merge(ids, best, len(tokens)) for word, ids in splits.items()}", "pass",
                    N_("The new token is not joined in the words, so the same pair wins again.")),
            Mistake("if not allowed:\n            break", "pass",
                    N_("When no pair is left, learning must end and give back what it has.")),
        ),
    ),
    Exercise(
        name="encode_word",
        target=f"{BPE}:encode_word",
        title=N_("Encoding a word"),
        text=N_("""\
Encoding repeats what learning did: the bytes of a word are joined by the learned merges, the first-learned
first. Nothing is counted any more. So a word of the training text is cut now as it was cut then, and a new word
falls into pieces that are known.

`merges` gives the token that each pair makes, the first-learned pair first. Of the pairs that stand in the
word, the one with the lowest token is joined; then there may be new pairs, and it begins again, until there
is no pair that `merges` knows.

    merges (117, 103): 256, (104, 256): 257      "ug" and "hug"
    word   104 117 103 115                       the bytes of "hugs"
           104 256 115
           257 115
"""),
        hints=(
            N_("Which of the known pairs in the word comes first: the one furthest to the left, or another?"),
            N_("Begin with the bytes as a list. As long as neighbours form a known pair, take the known pair "
               "whose token is the lowest, and merge it."),
            N_("The first-learned pair is min(known, key=merges.__getitem__); merge(ids, pair, merges[pair]) "
               "joins it."),
        ),
        inputs=word_and_merges,
        plugs=(Plug(f"{BPE}:encode_word"), Plug(f"{VOCABULARY}.encode", encoding),
               Plug(f"{VOCABULARY}.encode_batch", encoding_batch)),
        mistakes=(
            Mistake("min(known, key=merges.__getitem__)", "known[0]",
                    N_("The pairs are joined from left to right. The order is that of learning.")),
            Mistake("min(known, key=merges.__getitem__)", "max(known, key=merges.__getitem__)",
                    N_("The last-learned pair is joined first. The order of learning begins with the lowest "
                       "token.")),
            Mistake("min(known, key=merges.__getitem__)", "max(known, key=known.count)",
                    N_("The most frequent pair of the word is joined. Counting was for learning; now only "
                       "the order of learning counts.")),
            Mistake("while known :=", "if known :=",
                    N_("Only one merge is done. Each merge makes new pairs: go on until none is known.")),
        ),
    ),
    Exercise(
        name="decode",
        target="groundup.tokenizer.tokenizer:Tokenizer.decode",
        title=N_("From ids back to text"),
        text=N_("""\
A token is some bytes, not some characters: of the three bytes of 机, two may be in one token and the third in
the next. So the bytes of all ids are put together first, and then read as UTF-8.

A model may say bytes that are no text, or stop in the middle of a character. That is no reason to fail: what is
no whole character becomes U+FFFD, the character � for what cannot be read.

self.token_bytes(id) gives the bytes of an id, of a special token too. self.vocabulary.prefix is what encoding
put before the text (for most vocabularies nothing, in SentencePiece's a space): where the bytes begin with
it, it is taken away, once.

    ids of the bytes E6 9C | BA | 61   →   机a
    ids of the bytes E6 9C | 61        →   �a
"""),
        hints=(
            N_("Can a single id always be turned into text?"),
            N_("Join the bytes of all ids, remove the prefix, then decode. bytes.decode takes an argument "
               "that says what is to happen with errors."),
            N_("b\"\".join(map(self.token_bytes, ids)) gives the bytes; bytes.removeprefix and "
               "decode(\"utf-8\", errors=\"replace\") do the rest."),
        ),
        inputs=ids_and_tokens,
        use=decoded,
        mistakes=(
            Mistake('b"".join(map(self.token_bytes, ids))',
                    '"".join(self.token_bytes(i).decode("utf-8", "replace") for i in ids).encode()',
                    N_("Each id is decoded by itself, so that a character in two tokens is lost. Join the "
                       "bytes first.")),
            Mistake('errors="replace"', 'errors="ignore"',
                    N_("Bytes that are no character vanish. They should become U+FFFD, so that it shows.")),
            Mistake(', errors="replace"', "",
                    N_("Bytes that are no character end in an error. A model may say anything: decode what "
                       "there is.")),
            Mistake(".removeprefix(self.vocabulary.prefix)", "",
                    N_("The vocabulary's prefix is still there.")),
            Mistake(".removeprefix(self.vocabulary.prefix)", ".lstrip(self.vocabulary.prefix)",
                    N_("All spaces at the beginning are taken away: lstrip removes as many as there are, the "
                       "prefix was one.")),
            Mistake('"utf-8", errors="replace"', '"latin-1"',
                    N_("Each byte became a character: the bytes are UTF-8.")),
        ),
    ),
)  # fmt: skip
