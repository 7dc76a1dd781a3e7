"""The scheduler: which texts the model works on in the next step.

A batch that starts and ends together waits for its longest text. Here texts join and leave between
two steps (iteration-level scheduling: Orca, Yu et al. 2022); a long prompt is read in chunks, so that
those who are talking do not wait for it (Sarathi-Serve, Agrawal et al. 2024); and when all blocks are
taken, the latest comer gives its own back and begins again later (Kwon et al. 2023, section 4.5).

First come, first served: nobody who came later delays an earlier one, so that each text ends some day.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from groundup.generation.paged import BlockPool, block_name
from groundup.generation.sampling import SamplingConfig


@runtime_checkable
class Constraint(Protocol):
    """A form that an answer must have."""

    @property
    def allowed(self) -> Bool[Tensor, " vocab"]:
        """Which tokens may come next."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the answer is complete."""
        ...

    def accept(self, token: int) -> bool:
        """The token came. False where the form cannot be followed further: it became too complex."""
        ...


@dataclass
class Request:
    """A prompt to continue, and how."""

    prompt: Sequence[int]
    """Token ids."""
    sampling: SamplingConfig
    """How to choose tokens, and how many; its seed is that of this text alone."""
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end the text; the one that did is given as its last."""
    top_log_probs: int | None = None
    """None: no log-probabilities; n: that of each token said, and of the n likeliest."""
    adapter: str | None = None
    """The adapter of the model that works on this text; None: the one that is at work anyway."""
    constraint: Constraint | None = None
    """What the answer must look like: made for this request alone, whose tokens it follows."""
    when_full: Literal["stop", "forget"] = "stop"
    """Where the context is full: end, or forget all but its newer half and go on."""


@dataclass(eq=False)
class Text:
    """A request at work: its tokens so far, and which of them the cache holds."""

    id: int
    request: Request
    generator: torch.Generator
    left: int
    """How many tokens it may still say."""
    ids: list[int]
    """Its tokens, without those that it has forgotten."""
    adapter: str | None = None
    """The adapter that works on it, if any."""
    kind: bytes = b""
    """What its keys and values depend on beside its tokens."""
    prompt_length: int = 0
    """How many of its tokens it began with, or went on with when its context was full."""
    forgotten: list[int] = field(default_factory=list)
    known: int = 0
    """How many of its tokens the cache holds."""
    blocks: list[int] = field(default_factory=list)
    """Its block table: where they are, and room for those to come."""
    behind: int = 0
    """How many of its blocks no window of the text reaches any more."""
    drafted: int = 0
    """How many of its tokens the cache of a draft model holds."""
    names: list[bytes] = field(default_factory=list)
    """Of its full blocks, as far as somebody asked."""
    states: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    """What layers that are no attention keep of it."""

    @property
    def all_ids(self) -> list[int]:
        """Its tokens from the beginning."""
        return self.forgotten + self.ids

    @property
    def unknown(self) -> int:
        return len(self.ids) - self.known

    @property
    def is_talking(self) -> bool:
        """Whether its newest token is all that the cache lacks."""
        return self.known > 0 and self.unknown == 1

    def name(self, block: int, block_size: int) -> bytes:
        """That of its block of this index, which is full."""
        for i in range(len(self.names), block + 1):
            before = self.names[i - 1] if i else self.kind
            tokens = self.ids[i * block_size : (i + 1) * block_size]
            self.names.append(block_name(before, tokens))
        return self.names[block]


@dataclass(frozen=True)
class Part:
    """The next `count` unknown tokens of a text, and guesses at those after them."""

    text: Text
    count: int
    guesses: Sequence[int] = ()

    @property
    def ids(self) -> list[int]:
        known = self.text.known
        return [*self.text.ids[known : known + self.count], *self.guesses]


class Scheduler:
    """The texts that wait and those that run, in order of arrival, and the blocks they hold.

    `chunk_tokens` is the most tokens of prompts that one step reads, padding included. Layers that
    carry a state from token to token (`recurrent`) have no blocks to share, and read prompts one by
    one, as their state would take in what stands before a shorter one.
    """

    def __init__(
        self,
        pool: BlockPool,
        block_size: int,
        max_batch: int,
        chunk_tokens: int,
        recurrent: bool = False,
    ):
        self.pool, self.block_size = pool, block_size
        self.max_batch, self.chunk_tokens, self.recurrent = max_batch, chunk_tokens, recurrent
        self.waiting: deque[Text] = deque()
        self.running: list[Text] = []
        self.preemptions = 0
        self.reused_tokens = 0

    def plan(self) -> list[list[Part]]:
        """The passes of the next step: one over all texts that are talking, one over prompts."""
        talking, reading = self._talking(), self._reading()
        return [parts for parts in (talking, reading) if parts]

    def advance(self, part: Part) -> None:
        """The cache now holds this part of a text: blocks that it filled are there for others."""
        text, first = part.text, part.text.known // self.block_size
        if not self.recurrent:
            for i, name in enumerate(self._names_filled(part), start=first):
                self.pool.publish(text.blocks[i], name)
        text.known += part.count

    def room_for_guesses(self, text: Text, most: int) -> int:
        """How many tokens more than it has the text has room for, up to `most`: in its blocks, and in
        such as nobody else needs for the next step."""
        while len(text.blocks) < self.blocks_for(len(text.ids) + most):
            if self.pool.available <= len(self.running):
                break
            block = self.pool.take()
            assert block is not None
            text.blocks.append(block)
        return min(most, len(text.blocks) * self.block_size - len(text.ids))

    def shorten(self, text: Text, kept: int) -> None:
        """Let a running text forget all but its last `kept` tokens, which it will read again."""
        self._send_back(text)
        text.forgotten += text.ids[:-kept]
        text.ids, text.prompt_length = text.ids[-kept:], kept
        text.names.clear()

    def finish(self, text: Text) -> None:
        """The text is over, or nobody wants it any more."""
        self._release(text)
        if text in self.running:
            self.running.remove(text)
        else:
            self.waiting.remove(text)

    def blocks_for(self, tokens: int) -> int:
        """How many blocks hold so many tokens."""
        return -(-tokens // self.block_size)

    def _talking(self) -> list[Part]:
        """The newest token of each text that is talking and has, or gets, room for it."""
        parts = []
        for text in list(self.running):
            # Those who are sent away came later than `text`, so their turn is yet to come.
            if text in self.running and text.is_talking and self._make_room(text):
                parts.append(Part(text, 1))
        return parts

    def _make_room(self, text: Text) -> bool:
        """Let the text have a block for all its tokens, at the cost of the latest comers; False if that
        is the text itself."""
        while len(text.blocks) < self.blocks_for(len(text.ids)):
            block = self.pool.take()
            if block is not None:
                text.blocks.append(block)
                continue
            latest = self.running[-1]
            self._send_back(latest)
            self.preemptions += 1
            if latest is text:
                return False
        return True

    def _send_back(self, text: Text) -> None:
        """Take a text's blocks; it will read what it said so far together with its prompt."""
        self._release(text)
        self.running.remove(text)
        self.waiting.appendleft(text)

    def _release(self, text: Text) -> None:
        # From the end, so that of what is remembered beginnings, which more texts share, stay longest.
        for block in reversed(text.blocks):
            self.pool.release(block)
        text.blocks.clear()
        text.states.clear()
        text.known = text.behind = text.drafted = 0

    def _reading(self) -> list[Part]:
        """As many tokens of prompts, earliest first, as fit into a rectangle of `chunk_tokens`."""
        parts: list[Part] = []
        longest, being_filled = 0, set[bytes]()
        for text in self._readers():
            self._adopt(text)
            if self._next_name(text) in being_filled:
                continue  # another reads the same in this step: to be adopted in the next
            part = Part(text, min(text.unknown, self.chunk_tokens))
            longest = max(longest, part.count)
            if parts and (self.recurrent or (len(parts) + 1) * longest > self.chunk_tokens):
                break
            parts.append(part)
            being_filled.update(self._names_filled(part))
        return parts

    def _readers(self) -> Iterator[Text]:
        """Running texts whose prompt is not all read, then those that can begin."""
        yield from [text for text in self.running if not text.is_talking]
        while self.waiting and len(self.running) < self.max_batch and self._admit(self.waiting[0]):
            text = self.waiting.popleft()
            self.running.append(text)  # the latest comer of all who run
            yield text

    def _admit(self, text: Text) -> bool:
        """Let the text have blocks for all its tokens, if so many are left that each of the running ones
        can still grow by one."""
        self._adopt(text)
        needed = self.blocks_for(len(text.ids)) - len(text.blocks)
        if self.pool.available < needed + len(self.running):
            self.reused_tokens -= text.known
            self._release(text)
            return False
        self._make_room(text)
        return True

    def _adopt(self, text: Text) -> None:
        """Let the text hold the blocks that others filled with its next tokens, in place of its own."""
        while (name := self._next_name(text)) is not None:
            block = self.pool.share(name)
            if block is None:
                return
            index = text.known // self.block_size
            for own in text.blocks[index : index + 1]:
                self.pool.release(own)
            text.blocks[index : index + 1] = [block]
            text.known += self.block_size
            self.reused_tokens += self.block_size

    def _next_name(self, text: Text) -> bytes | None:
        """The name of the block that its next tokens fill, if another block can stand for it: not where
        the text ends, as what follows its last token is not in the cache."""
        end = text.known + self.block_size
        if self.recurrent or text.known % self.block_size or end >= len(text.ids):
            return None
        return text.name(text.known // self.block_size, self.block_size)

    def _names_filled(self, part: Part) -> list[bytes]:
        """The names of the blocks that are full after this part."""
        first, end = (n // self.block_size for n in (part.text.known, part.text.known + part.count))
        return [part.text.name(i, self.block_size) for i in range(first, end)]
