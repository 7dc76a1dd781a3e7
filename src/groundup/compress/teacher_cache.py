"""What a teacher finds likely at each position of a text, kept on disk: asked once, used in every epoch
and by every student.

A cache is a folder of `cache.json`, which says whose words of which text these are, and of parts, each the
windows of a stretch of the text. A part is there whole or not at all, so a filling that was broken off
goes on where it stopped. A position takes k · 6 + 4 bytes (k · 8 + 4 where there are more than 65,536
tokens): 388 for k = 64, of which a million tokens make 388 MB.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from groundup.compress.distill import TaughtBatch
from groundup.data.windows import Windows
from groundup.errors import CorruptFileError, InputError
from groundup.files import atomic_file, atomic_path
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.linear import linear
from groundup.model.loss import CHUNK_LOGITS, LEAST_CHUNK, softcap

TOP_K = 64
"""How many are kept where nobody says."""
PART_TOKENS = 1 << 15
"""Positions in a part: some megabytes, and seconds that a broken-off filling loses."""
AT_ONCE = 8
"""Windows that go through the teacher together."""
INDEX = "cache.json"


@dataclass(frozen=True)
class Question:
    """What decides the words of a teacher."""

    teacher: str
    """Its checksum."""
    text: str
    """Its fingerprint."""
    window: int
    """How many tokens the teacher sees together."""
    vocab_size: int
    """Tokens that both teacher and student have: the others are not thought possible."""
    top_k: int
    temperature: float


CALLED = {"teacher": N_("another teacher"), "text": N_("another text")}
"""What is said where a cache answers another question; all else is a setting."""


class TeacherCache:
    """The answers to one question, in a folder.

    Raises `InputError` where the folder holds the answers to another one."""

    def __init__(self, folder: Path, question: Question, windows: Windows):
        self.folder, self.question, self.windows = folder, question, windows
        self.in_part = max(1, PART_TOKENS // question.window)
        described = vars(question) | {
            "windows": len(windows.starts),
            "windows_in_part": self.in_part,
        }
        if (folder / INDEX).is_file():
            _check_same(folder / INDEX, described)
            return
        with atomic_file(folder / INDEX) as file:
            json.dump(described, file, indent=2)

    @property
    def missing(self) -> list[int]:
        """The parts that are not there yet."""
        count = -(-len(self.windows.starts) // self.in_part)
        return [number for number in range(count) if not self._part(number).is_file()]

    def fill(self, teacher: GPT, progress: Callable[[int, int], None] | None = None) -> None:
        """Ask the teacher what is not there yet; `progress` is told how many windows of how many."""
        total = len(self.windows.starts)
        for number in self.missing:
            places = range(number * self.in_part, min((number + 1) * self.in_part, total))
            answers = [
                likeliest(teacher, self._windows(places[at : at + AT_ONCE]), self.question)
                for at in range(0, len(places), AT_ONCE)
            ]
            ids, log_probs = (torch.cat(parts).numpy() for parts in zip(*answers, strict=True))
            kind = np.uint16 if self.question.vocab_size <= 1 << 16 else np.uint32
            with atomic_path(self._part(number)) as temporary:
                save_file({"likeliest": ids.astype(kind), "log_probs": log_probs}, temporary)
            if progress:
                progress(places.stop, total)

    def batch(self, n: int, size: int) -> TaughtBatch:
        """`windows.batch(n, size)`, with what the teacher said of it."""
        places = [self.windows.place(i) for i in range(n * size, (n + 1) * size)]
        rows = [self._read(place) for place in places]
        ids, log_probs = (np.stack(of_rows) for of_rows in zip(*rows, strict=True))
        return TaughtBatch(self.windows.batch(n, size), ids.astype(np.int64), log_probs)

    def _windows(self, places: Sequence[int]) -> Int[Tensor, "batch window"]:
        return torch.from_numpy(np.stack([self.windows.at(place) for place in places]))

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.safetensors"

    def _read(self, place: int) -> list[np.ndarray]:
        """What was said of a window: the tokens, and the log-probabilities."""
        number, row = divmod(place, self.in_part)
        path = self._part(number)
        try:
            with safe_open(path, framework="numpy") as file:
                return [file.get_slice(name)[row] for name in ("likeliest", "log_probs")]
        except (SafetensorError, OSError) as error:
            raise CorruptFileError(
                f"a part of the teacher's cache cannot be read: {error}", str(path),
                "remove it, and run the same command again: it is made anew",
            ) from error  # fmt: skip


@torch.inference_mode()
def likeliest(
    teacher: GPT, ids: Int[Tensor, "batch window"], question: Question
) -> tuple[Int[Tensor, "batch time kept"], Float[Tensor, "batch time outcomes"]]:
    """The tokens that a teacher finds likeliest at each position of some windows, and their
    log-probabilities; last, unless all tokens are kept, that of any other. On the CPU."""
    hidden = teacher.hidden(ids[:, :-1].to(teacher.device))
    head, kept = teacher.head, min(question.top_k, question.vocab_size)
    chunk = max(LEAST_CHUNK, CHUNK_LOGITS // len(head.weight))
    tokens, outcomes = [], []
    for states in hidden.flatten(0, 1).split(chunk):
        logits = softcap(linear(states, head.weight), head.softcap)[:, : question.vocab_size]
        log_p = (logits / question.temperature).log_softmax(-1)
        top = log_p.topk(kept)
        tokens.append(top.indices)
        outcomes.append(top.values)
        if kept < question.vocab_size:
            others = log_p.scatter(1, top.indices, -torch.inf).logsumexp(-1, keepdim=True)
            outcomes[-1] = torch.cat([top.values, others], -1)
    shape = hidden.shape[:2]
    return (
        torch.cat(tokens).unflatten(0, shape).cpu(),
        torch.cat(outcomes).float().unflatten(0, shape).cpu(),
    )


def _check_same(path: Path, described: Mapping[str, Any]) -> None:
    """Raises `InputError` where a cache is another's."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        different = [name for name in described if found[name] != described[name]]
    except (ValueError, KeyError, TypeError):
        raise CorruptFileError(
            "this is no list of what a teacher's cache holds", str(path), "remove its folder"
        ) from None
    if different:
        kinds = dict.fromkeys(CALLED.get(name, N_(f"another {name}")) for name in different)
        raise InputError(
            f"this cache was made with {', '.join(kinds)}", str(path.parent),
            "choose another folder with --cache, or remove this one",
        )  # fmt: skip
