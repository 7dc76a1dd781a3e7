"""All exercises, in the order of the guide's chapters.

Each file has those of a chapter: what the part is for, hints, inputs to try it with, and the mistakes that
are usually made. The parts themselves are cut from the code that runs: above each stands a comment
`# lab: NAME`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundup.lab.exercise import Exercise

CHAPTERS: dict[str, tuple[str, ...]] = {
    "text": ("count_words", "windows"),
    "tokenizer": ("count_pairs", "merge", "learn_merges", "encode_word", "decode"),
    "embedding": ("embed", "learned_positions", "sinusoidal_positions", "rotary"),
    "attention": (
        "attention_weights", "causal_mask", "split_heads", "share_heads", "attend", "attention",
    ),
    "block": ("layer_norm", "rms_norm", "gelu", "swiglu", "feed_forward", "block"),
    "gpt": ("gpt", "parameter_count"),
    "pretraining": (
        "cross_entropy", "adamw", "learning_rate", "clip_gradients", "accumulate", "train",
    ),
    "generation": ("choose", "top_k", "top_p", "draw", "generate", "kv_cache"),
    "tuning": ("last_token", "loss_mask", "chat_template", "lora", "dpo", "group_advantages"),
    "evaluation": ("perplexity", "bits_per_byte"),
    "compression": ("quantize", "pack", "prune", "distill"),
    "serving": ("pad", "accept"),
}  # fmt: skip
"""The exercises of each chapter, in order: known without loading them, and PyTorch with them."""

NAMES = tuple(name for names in CHAPTERS.values() for name in names)


def find(name: str) -> "Exercise":
    """The exercise of this name, which is one of `NAMES`."""
    return next(e for e in of_chapter(chapter_of(name)) if e.name == name)


def chapter_of(name: str) -> str:
    return next(chapter for chapter, names in CHAPTERS.items() if name in names)


def of_chapter(chapter: str) -> "tuple[Exercise, ...]":
    return import_module(f"{__name__}.{chapter}").EXERCISES
