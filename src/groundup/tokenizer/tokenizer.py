"""The tokenizer: text to token ids and back, special tokens, files."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from groundup.errors import InputError, no_such
from groundup.files import atomic_file
from groundup.sources.read import read_pieces
from groundup.tokenizer.chat import (
    DEFAULT_TEMPLATE,
    Marked,
    Message,
    Ranges,
    quoted,
    render_marked,
    unmarked,
)
from groundup.tokenizer.files import Files, read_files, read_vocabulary
from groundup.tokenizer.framing import END_OF_TEXT, END_TOKENS, Framing, read_framing
from groundup.tokenizer.learn import learn_bpe, learn_characters
from groundup.tokenizer.saving import description, files_to_save
from groundup.tokenizer.stream import StreamDecoder
from groundup.tokenizer.templates import SAMPLE, needed_tokens, read_template
from groundup.tokenizer.turns import gaps, mark_turns
from groundup.tokenizer.vocabulary import Vocabulary, keeps_to_words

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
        framing: Framing | None = None,
    ):
        """`framing` is what the files of a loaded tokenizer say beside these."""
        self.vocabulary, self.special_tokens = vocabulary, special_tokens
        self.chat_template, self.framing = chat_template, framing or Framing()
        self._bytes = vocabulary.tokens | {i: t.encode() for t, i in special_tokens.items()}
        self._special = _pattern(special_tokens, self.framing.strips)

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
            vocabulary = learn_characters(texts, vocab_size - len(special_tokens), special_tokens)
        else:
            n_merges = vocab_size - 256 - len(special_tokens) if kind == "bpe" else 0
            if n_merges < 0:
                raise InputError(
                    f"vocab_size {vocab_size} is too small: 256 bytes and {len(special_tokens)} "
                    "special tokens need an id each",
                    "vocab_size",
                    f"use {256 + len(special_tokens)} or more",
                )
            vocabulary = learn_bpe(texts, n_merges, special_tokens, progress, processes)
        first = max(vocabulary.tokens) + 1
        return cls(vocabulary, {token: first + i for i, token in enumerate(special_tokens)})

    @classmethod
    def load(
        cls, directory: str | Path, special_tokens: Sequence[str] | None = None
    ) -> "Tokenizer":
        """Read the tokenizer of a directory, ours or anybody's: `tokenizer.json`, SentencePiece's
        `tokenizer.model`, a `*.tiktoken` file, or GPT-2's `vocab.json` and `merges.txt`, and what
        the files beside it say of special tokens and chat templates.

        `special_tokens` names tokens to treat as special, beside those that the files mark; new
        ones get the next ids. Raises `InputError` and `CorruptFileError`.
        """
        folder = Path(directory)
        if not folder.is_dir():
            raise _no_tokenizer(folder)
        return cls.from_files(read_files(folder), str(folder), special_tokens)

    @classmethod
    def from_files(
        cls, files: Files, where: str, special_tokens: Sequence[str] | None = None
    ) -> "Tokenizer":
        """`load`, from the contents of files by their names; messages say they are at `where`."""
        source = read_vocabulary(files, where)
        framing = read_framing(files, source, where)
        vocabulary = source.vocabulary
        special = _with_special(vocabulary, source.special_tokens, special_tokens or ())
        return cls(vocabulary, special, framing.templates.get("default"), framing)

    def with_template(self, template: str | Path) -> "Tokenizer":
        """This tokenizer with another chat template: a name in `TEMPLATES`, or a file of Jinja.

        Special tokens that the template needs and the vocabulary lacks get the next ids; if there are
        more ids then than the model has rows, it must grow (`weights.vocabulary.fitted`). Raises
        `InputError` for an unknown name, and for a template that does not render or does not let
        turns be seen (see `mark_turns`)."""
        chosen = read_template(template)
        names = self._named_tokens()
        needs_end = "eos_token" in chosen and not names["eos_token"]
        wanted = [*([END_OF_TEXT] if needs_end else []), *needed_tokens(chosen, names)]
        special = _with_special(self.vocabulary, self.special_tokens, wanted)
        changed = Tokenizer(self.vocabulary, special, chosen, self.framing)
        ids, spoken = changed.encode_turns(SAMPLE[1:])
        last = [id_ for id_, is_spoken in zip(ids, spoken, strict=True) if is_spoken][-1]
        if last in special.values() and last not in changed.end_ids:
            changed.framing = replace(self.framing, end_ids=(*self.framing.end_ids, last))
        return changed

    def save(self, directory: str | Path) -> None:
        """Write its `files`."""
        for name, content in self.files().items():
            with atomic_file(Path(directory) / name, "wb") as file:
                file.write(content)

    def files(self) -> dict[str, bytes]:
        """The files that it was loaded from, by their names, unchanged where it is; of one that we
        learned `tokenizer.json` and `tokenizer_config.json`, for us and for Hugging Face."""
        return files_to_save(self.vocabulary, self.special_tokens, self.chat_template, self.framing)

    # What it is

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._bytes) + 1

    @property
    def fingerprint(self) -> str:
        """The same for the same vocabulary, and for no other."""
        described = description(self.vocabulary, self.special_tokens)
        return hashlib.blake2b(described, digest_size=16).hexdigest()

    @property
    def end_of_text_id(self) -> int | None:
        """The id that stands between documents, if there is one."""
        eos = self.framing.names.get("eos_token", "")
        return self.special_tokens.get(END_OF_TEXT, self.special_tokens.get(eos))

    @property
    def begin_ids(self) -> list[int]:
        """The ids that a prompt begins with, in models that read every text so: Llama's `<s>`."""
        return list(self.framing.begin_ids)

    @property
    def end_ids(self) -> list[int]:
        """The ids at which a generated text or turn is over: those that the model's files name, and
        those that are known for it."""
        known = [self.special_tokens[t] for t in END_TOKENS if t in self.special_tokens]
        return list(dict.fromkeys([*known, *self.framing.end_ids]))

    # Text to ids

    def encode(self, text: str, allow_special: bool = True, begins: bool = True) -> list[int]:
        """The ids of `text`, and no others: a prompt may need more (`encode_prompt`).

        With `allow_special`, special tokens in it become their ids; without, they are text like any
        other. `begins` is false for text that goes on with another: some vocabularies put a space
        before a text that begins.
        """
        return self._encode_parts(self._split(text) if allow_special else [text], begins)

    def _split(self, text: str) -> Iterator[str | int]:
        """A text as the ids of the special tokens in it and the texts between them."""
        end = 0
        for match in self._special.finditer(text) if self._special else ():
            yield text[end : match.start()]
            yield self.special_tokens[match[match.lastindex or 0]]
            end = match.end()
        yield text[end:]

    def _encode_parts(self, parts: Iterable[str | int], begins: bool = True) -> list[int]:
        """The ids of special tokens, given as their ids, and of the texts between them."""
        ids: list[int] = []
        for part in parts:
            if isinstance(part, int):
                ids.append(part)
                begins = self.vocabulary.begins_anew
            elif part:
                ids += self.vocabulary.encode(part, begins)
                begins = False
        return ids

    def encode_prompt(self, text: str) -> list[int]:
        """The ids of a text for a model to go on with: `begin_ids`, and those of `text`."""
        return self.begin_ids + self.encode(text)

    def encode_batch(self, texts: Sequence[str], allow_special: bool = True) -> list[list[int]]:
        """`encode` of each text, by all processors at once where no text has special tokens."""
        special = self._special if allow_special else None
        if special is None or not any(map(special.search, texts)):
            return self.vocabulary.encode_batch(texts)
        return [self.encode(text) for text in texts]

    def encode_iterable(self, strings: Iterable[str]) -> Iterator[int]:
        """The ids of the joined `strings` (the lines of an open file, say), lazily: text is held
        back only as far as the next string could still change its tokens. (Where tokens reach over
        the ends of words, it always could.)"""
        special_words = {i: token.encode() for token, i in self.special_tokens.items()}
        cut = self.vocabulary.cut if keeps_to_words(special_words) else lambda _: 0
        held, begins = "", True
        for string in strings:
            held += string
            if ready := cut(held):
                yield from self.encode(held[:ready], begins=begins)
                held, begins = held[ready:], False
        yield from self.encode(held, begins=begins)

    @property
    def knows_turns(self) -> bool:
        """True if the chat template marks turns, or their end, with special tokens of this
        vocabulary."""
        if self.chat_template is None:
            return False
        return not set(self.encode_chat(SAMPLE[1:])).isdisjoint(self.special_tokens.values())

    def encode_chat(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """The ids of a conversation in the model's chat template, `tools` being JSON schemas of
        functions that it may call. Special tokens count only where the template wrote them: nobody
        can end their turn and speak for another."""
        template = self.framing.templates.get("tool_use") if tools else None
        quotes = [quoted(message, self._special) for message in messages]
        text = render_marked(
            template or self._template(), quotes, add_generation_prompt, self._named_tokens(), tools
        )
        return self._encode_marked(unmarked(text))[0]

    def encode_turns(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """The ids of a conversation, those of `encode_chat`, and which of them are the assistant's own:
        what it must say itself after the prompt that it is given, to the end token of its turn. (A
        token in which its words and the template's meet is its own.)

        Raises `InputError` for a template that does not let this be seen: see `mark_turns`."""
        names = self._named_tokens()
        return self._encode_marked(mark_turns(self._template(), messages, self._special, names))

    def _template(self) -> str:
        if self.chat_template is None:
            raise InputError(
                "this tokenizer has no chat template", "tokenizer_config.json",
                "use plain generation, give it a template, or take a model that was tuned for "
                "conversations",
            )  # fmt: skip
        return self.chat_template

    def _encode_marked(self, chat: Marked) -> tuple[list[int], list[bool]]:
        """The ids of a rendered conversation, and whether each holds some of what is spoken."""
        ids: list[int] = []
        spoken: list[bool] = []
        begins = True
        for start, end, special in self._marked_parts(chat):
            inside = [(max(a, start) - start, min(b, end) - start) for a, b in chat.spoken]
            inside = [(a, b) for a, b in inside if a < b]
            if special is not None:
                ids.append(special)
                spoken.append(bool(inside))
                begins = self.vocabulary.begins_anew
            else:
                new = self.vocabulary.encode(chat.text[start:end], begins)
                ids += new
                spoken += self._spoken_in(chat.text[start:end], new, begins, inside)
                begins = False
        return ids, spoken

    def _marked_parts(self, chat: Marked) -> Iterator[tuple[int, int, int | None]]:
        """Where the special tokens that the template wrote stand, each with its id, and the texts
        between them."""
        end = 0
        for first, last in gaps(chat.quoted, len(chat.text)):
            for match in self._special.finditer(chat.text, first, last) if self._special else ():
                if match.start() > end:
                    yield end, match.start(), None
                end = match.end()
                yield match.start(), end, self.special_tokens[match[match.lastindex or 0]]
        if end < len(chat.text):
            yield end, len(chat.text), None

    def _spoken_in(
        self, text: str, ids: Sequence[int], begins: bool, inside: Ranges
    ) -> Iterator[bool]:
        """Whether each of the `ids` of a text holds some of what is `inside`, which is counted in
        characters: how many bytes stand before a character, the ids of the text up to it say."""

        def size(ids: Iterable[int]) -> int:
            return sum(len(self._bytes[id_]) for id_ in ids)

        def bytes_before(cut: int) -> int:
            return size(ids if cut == len(text) else self.vocabulary.encode(text[:cut], begins))

        spans = [(bytes_before(first), bytes_before(last)) for first, last in inside]
        start = 0
        for id_ in ids:
            end = start + size([id_])
            yield any(start < last and first < end for first, last in spans)
            start = end

    def _named_tokens(self) -> dict[str, Any]:
        eos = END_OF_TEXT if END_OF_TEXT in self.special_tokens else ""
        return {"eos_token": eos, "bos_token": ""} | dict(self.framing.names)

    # Ids to text

    # lab: decode
    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are no whole character become U+FFFD."""
        written = b"".join(map(self.token_bytes, ids)).removeprefix(self.vocabulary.prefix)
        return written.decode("utf-8", errors="replace")

    def decode_stream(self, after: Sequence[int] = ()) -> StreamDecoder:
        """A decoder to feed id by id, of a text that goes on `after` these ids: where those are text,
        the space before the first word is one."""
        begins = set(after) <= set(self.special_tokens.values())
        return StreamDecoder(self.token_bytes, self.vocabulary.prefix if begins else b"")

    def token_bytes(self, id_: int) -> bytes:
        """The bytes that one id stands for."""
        try:
            return self._bytes[id_]
        except KeyError:
            raise InputError(
                f"token id {id_} is not in this vocabulary", None,
                f"ids run from 0 to {self.vocab_size - 1}",
            ) from None  # fmt: skip

    def known_bytes(self, id_: int) -> bytes:
        """The same; none for an id beyond the vocabulary, of which a model may have some."""
        return self._bytes.get(id_, b"")

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The text of each id, to look at. A character that several ids share is shown whole at
        the last of them, and the ones before are empty."""
        decoder = self.decode_stream()
        shown = [decoder.feed(id_) for id_ in ids]
        if shown:
            shown[-1] += decoder.flush()
        return shown


def _with_special(
    vocabulary: Vocabulary, special_tokens: Mapping[str, int], wanted: Iterable[str]
) -> dict[str, int]:
    """`special_tokens` and those `wanted` besides: under the ids that the vocabulary has for their
    texts, else under the next ones."""
    special = dict(special_tokens)
    if missing := [token for token in wanted if token not in special]:
        known = {text: id_ for id_, text in vocabulary.tokens.items()}
        for token in missing:
            new = max([*vocabulary.tokens, *special.values()]) + 1
            special[token] = known.get(token.encode(), new)
    return special


def _pattern(
    special_tokens: Iterable[str], strips: Mapping[str, tuple[bool, bool]]
) -> re.Pattern[str] | None:
    """What finds special tokens in a text, with the white space that they swallow. Longest first, so
    that of two where one begins the other, the longer wins."""

    def one(token: str) -> str:
        before, after = (r"\s*" if strip else "" for strip in strips.get(token, (False, False)))
        found = re.escape(token)
        return f"{before}({found}){after}" if before or after else found

    ordered = sorted(special_tokens, key=len, reverse=True)
    return re.compile("|".join(map(one, ordered))) if ordered else None


def _no_tokenizer(folder: Path) -> InputError:
    if folder.is_file():
        return InputError(
            "this is a file, not a tokenizer directory", str(folder), "name its folder"
        )
    siblings = (path for path in folder.parent.glob("*") if path.is_dir())
    return no_such("tokenizer directory", folder, siblings)
