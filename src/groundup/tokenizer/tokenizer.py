"""The tokenizer: text to token ids and back, special tokens, files."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from groundup.errors import InputError, no_such
from groundup.files import atomic_file
from groundup.sources.read import read_pieces, split_point
from groundup.tokenizer import files
from groundup.tokenizer.bpe import learn_merges
from groundup.tokenizer.chat import DEFAULT_TEMPLATE, END, Message, placeholders, render_chat
from groundup.tokenizer.vocabulary import CharacterVocabulary, MergeVocabulary, Vocabulary
from groundup.tokenizer.words import SPLIT_PATTERN, count_words

END_OF_TEXT = "<|endoftext|>"
# Tokens at which generation ends, by the names that published models give them.
END_TOKENS = (
    END_OF_TEXT, END, "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<|return|>",
)  # fmt: skip
Kind = Literal["bpe", "byte", "character"]


class Tokenizer:
    """A vocabulary with special tokens.

    >>> tokenizer = Tokenizer.train_from_iterator(["to be or not to be"], vocab_size=260)
    >>> tokenizer.decode(tokenizer.encode("to be<|endoftext|>"))
    'to be<|endoftext|>'
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        special_tokens: dict[str, int],
        chat_template: str | None = DEFAULT_TEMPLATE,
    ):
        self.vocabulary, self.special_tokens = vocabulary, special_tokens
        self.chat_template = chat_template
        self._bytes = vocabulary.tokens | {i: t.encode() for t, i in special_tokens.items()}
        # Longest first, so that of two special tokens where one begins the other, the longer wins.
        ordered = sorted(special_tokens, key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, ordered))})") if ordered else None

    # Making one

    @classmethod
    def train(
        cls,
        paths: Sequence[str | Path],
        vocab_size: int = 4096,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        kind: Kind = "bpe",
        progress: Callable[[int, int], None] | None = None,
        processes: int | None = None,
    ) -> "Tokenizer":
        """Learn a vocabulary from files and folders of any kind that `groundup.sources` reads,
        streamed: the text is never in memory as a whole."""
        texts = (piece.text for piece in read_pieces(paths))
        return cls.train_from_iterator(texts, vocab_size, special_tokens, kind, progress, processes)

    @classmethod
    def train_from_iterator(
        cls,
        texts: Iterable[str],
        vocab_size: int = 4096,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        kind: Kind = "bpe",
        progress: Callable[[int, int], None] | None = None,
        processes: int | None = None,
    ) -> "Tokenizer":
        """Learn a vocabulary of `vocab_size` ids, `special_tokens` included, from `texts`.

        `bpe` learns merges (fewer than asked for if the text has no more pairs to join), `byte`
        is BPE without merges, `character` gives the most frequent characters an id each. Words are
        counted by `processes` processes (default: one for each processor). Raises
        `InputError` for a size below the least possible and for a text without words.
        """
        if len(set(special_tokens)) < len(special_tokens) or "" in special_tokens:
            raise InputError(f"special tokens must be different and not empty: {special_tokens}")
        if kind == "character":
            vocabulary = _learn_characters(texts, vocab_size - len(special_tokens), special_tokens)
        else:
            n_merges = vocab_size - 256 - len(special_tokens) if kind == "bpe" else 0
            if n_merges < 0:
                raise InputError(
                    f"vocab_size {vocab_size} is too small: 256 bytes and {len(special_tokens)} "
                    "special tokens need an id each",
                    "vocab_size",
                    f"use {256 + len(special_tokens)} or more",
                )
            vocabulary = _learn_bpe(texts, n_merges, special_tokens, progress, processes)
        first = max(vocabulary.tokens) + 1
        return cls(vocabulary, {token: first + i for i, token in enumerate(special_tokens)})

    @classmethod
    def load(
        cls, directory: str | Path, special_tokens: Sequence[str] | None = None
    ) -> "Tokenizer":
        """Read `tokenizer.json`, or GPT-2's `vocab.json` and `merges.txt`, from a directory.

        `special_tokens` names tokens to treat as special, beside those that the files mark; new
        ones get the next ids.
        """
        folder = Path(directory)
        if (folder / "tokenizer.json").is_file():
            vocabulary, special = files.read_tokenizer_json(folder / "tokenizer.json")
        elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            vocabulary, special = files.read_vocab_and_merges(folder)
        else:
            raise _no_tokenizer(folder)
        for token in special_tokens or ():
            if token not in special:
                known = {text: id_ for id_, text in vocabulary.tokens.items()}
                new = max([*vocabulary.tokens, *special.values()]) + 1
                special[token] = known.get(token.encode(), new)
        config = folder / "tokenizer_config.json"
        settings = files.read_json(config) if config.is_file() else {}
        return cls(vocabulary, special, settings.get("chat_template"))

    def save(self, directory: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, for us and for Hugging Face."""
        with atomic_file(Path(directory) / "tokenizer.json") as file:
            file.write(self._json())
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "chat_template": self.chat_template,
        }
        if END_OF_TEXT in self.special_tokens:
            config["eos_token"] = END_OF_TEXT
        with atomic_file(Path(directory) / "tokenizer_config.json") as file:
            json.dump(config, file, ensure_ascii=False, indent=2)

    def _json(self) -> str:
        content = files.tokenizer_json(self.vocabulary, self.special_tokens)
        return json.dumps(content, ensure_ascii=False, indent=1)

    # What it is

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._bytes) + 1

    @property
    def fingerprint(self) -> str:
        """The same for the same vocabulary, and for no other."""
        return hashlib.blake2b(self._json().encode(), digest_size=16).hexdigest()

    @property
    def end_of_text_id(self) -> int | None:
        """The id that stands between documents, if there is one."""
        return self.special_tokens.get(END_OF_TEXT)

    @property
    def end_ids(self) -> list[int]:
        """The ids at which a generated text or turn is over."""
        return [self.special_tokens[t] for t in END_TOKENS if t in self.special_tokens]

    # Text to ids

    def encode(self, text: str, allow_special: bool = True) -> list[int]:
        """The ids of `text`. With `allow_special`, special tokens in it become their ids; without,
        they are text like any other."""
        if not allow_special or self._special is None:
            return self.vocabulary.encode(text)
        ids: list[int] = []
        for part in self._special.split(text):
            if part in self.special_tokens:
                ids.append(self.special_tokens[part])
            elif part:
                ids += self.vocabulary.encode(part)
        return ids

    def encode_batch(self, texts: Sequence[str], allow_special: bool = True) -> list[list[int]]:
        """`encode` of each text, by all processors at once where no text has special tokens."""
        special = self._special if allow_special else None
        if special is None or not any(map(special.search, texts)):
            return self.vocabulary.encode_batch(texts)
        return [self.encode(text) for text in texts]

    def encode_iterable(self, strings: Iterable[str]) -> Iterator[int]:
        """The ids of the joined `strings` (the lines of an open file, say), lazily: text is held
        back only as far as the next string could still change its tokens."""
        held = ""
        for string in strings:
            held += string
            ready = split_point(held)
            yield from self.encode(held[:ready])
            held = held[ready:]
        yield from self.encode(held)

    @property
    def knows_turns(self) -> bool:
        """True if the chat template marks turns with special tokens of this vocabulary."""
        if self.chat_template is None:
            return False
        turn = self.encode_chat([{"role": "user", "content": ""}], add_generation_prompt=True)
        return not set(turn).isdisjoint(self.special_tokens.values())

    def encode_chat(
        self, messages: Sequence[Message], add_generation_prompt: bool = False
    ) -> list[int]:
        """The ids of a conversation in the model's chat template. Special tokens count only where
        the template wrote them: nobody can end their turn and speak for another."""
        if self.chat_template is None:
            raise InputError(
                "this tokenizer has no chat template", "tokenizer_config.json",
                "use plain generation, or a model that was tuned for conversations",
            )  # fmt: skip
        marked, contents = placeholders(messages)
        text = render_chat(self.chat_template, marked, add_generation_prompt, self._named_tokens())
        ids: list[int] = []
        plain = ""
        for part in re.split("(\ue000\\d+\ue001)", text):
            if part in contents:
                plain += contents[part]
                continue
            for written in self._special.split(part) if self._special else [part]:
                if written in self.special_tokens:
                    ids += [*self.vocabulary.encode(plain), self.special_tokens[written]]
                    plain = ""
                else:
                    plain += written
        return ids + self.vocabulary.encode(plain)

    def _named_tokens(self) -> dict[str, str]:
        return {"eos_token": END_OF_TEXT, "bos_token": ""}

    # Ids to text

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are no whole character become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def decode_stream(self) -> "StreamDecoder":
        """A decoder to feed id by id."""
        return StreamDecoder(self)

    def token_bytes(self, id_: int) -> bytes:
        """The bytes that one id stands for."""
        try:
            return self._bytes[id_]
        except KeyError:
            raise InputError(
                f"token id {id_} is not in this vocabulary", None,
                f"ids run from 0 to {self.vocab_size - 1}",
            ) from None  # fmt: skip

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The text of each id, to look at. A character that several ids share is shown whole at
        the last of them, and the ones before are empty."""
        decoder = self.decode_stream()
        shown = [decoder.feed(id_) for id_ in ids]
        if shown:
            shown[-1] += decoder.flush()
        return shown


class StreamDecoder:
    """Decodes id by id and never gives out half a character."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.held = b""

    def feed(self, id_: int) -> str:
        """The text that is certain after this id, perhaps none yet."""
        self.held += self.tokenizer.token_bytes(id_)
        ready = len(self.held) - _unfinished(self.held)
        text, self.held = self.held[:ready].decode("utf-8", errors="replace"), self.held[ready:]
        return text

    def flush(self) -> str:
        """What was held back; call it after the last id."""
        text, self.held = self.held.decode("utf-8", errors="replace"), b""
        return text


def _unfinished(data: bytes) -> int:
    """How many bytes at the end of `data` begin a UTF-8 character without ending it."""
    for length in range(1, min(3, len(data)) + 1):
        first = data[-length]
        if first >= 0xC0:
            size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return length if length < size else 0
        if first < 0x80:
            return 0
    return 0


def _learn_bpe(
    texts: Iterable[str],
    n_merges: int,
    special_tokens: Sequence[str],
    progress: Callable[[int, int], None] | None,
    processes: int | None,
) -> MergeVocabulary:
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


def _learn_characters(
    texts: Iterable[str], most: int, special_tokens: Sequence[str]
) -> CharacterVocabulary:
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


def _no_tokenizer(folder: Path) -> InputError:
    if folder.is_file():
        return InputError(
            "this is a file, not a tokenizer directory", str(folder), "name its folder"
        )
    if not folder.is_dir():
        siblings = (path for path in folder.parent.glob("*") if path.is_dir())
        return no_such("tokenizer directory", folder, siblings)
    return InputError(
        "no tokenizer here: neither tokenizer.json nor vocab.json and merges.txt", str(folder),
        "make one with `groundup tokenizer train`",
    )  # fmt: skip
