"""What a server serves: a language model or a classifier, by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from fastapi import Request
from jaxtyping import Float
from torch import Tensor

from groundup.errors import InputError
from groundup.generation.engine import check_prompt
from groundup.generation.schema import Grammars
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.serve.errors import ApiError
from groundup.tokenizer.files import read_json
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.classifier import load_classifier
from groundup.weights.directory import find, load
from groundup.weights.huggingface import gives_labels


@dataclass(frozen=True)
class Served:
    """A model with its tokenizer, ready."""

    name: str
    model: GPT
    tokenizer: Tokenizer
    labels: list[str] = field(default_factory=list)
    """Of a classifier; none for a language model."""

    @cached_property
    def grammars(self) -> Grammars:
        """For answers of a given form."""
        return Grammars(self.tokenizer, self.model.config.vocab_size)

    @property
    def is_classifier(self) -> bool:
        return isinstance(self.model, Classifier)


def load_served(source: str) -> Served:
    """The model of a directory, a file or a hub id: a classifier if its config says so."""
    path = find(source)
    name = _name(source)
    if path.is_dir() and gives_labels(read_json(path / "config.json")):
        classifier, tokenizer, labels = load_classifier(source)
        return Served(name, classifier.eval(), tokenizer, labels)
    model, tokenizer = load(source)
    return Served(name, model.eval(), tokenizer)


def _name(source: str) -> str:
    """ "runs/law/finetune/model" is the model of the run "law"."""
    path = Path(source)
    if path.name == "model" and len(path.parts) > 2:
        return path.parts[-3]
    return source if not path.exists() else path.stem if path.is_file() else path.name


def check_name(served: Served, name: str) -> None:
    """Raises `ApiError` if a request names another model than the one that is served."""
    if name not in ("", served.name):
        message = f"there is no model {name!r}: this server has {served.name!r}"
        raise ApiError(404, message, "model", "model_not_found")


def language_model(request: Request, name: str) -> Served:
    """What is served, if it is a language model of this name (or none is asked for)."""
    served: Served = request.app.state.served
    check_name(served, name)
    if served.is_classifier:
        raise ApiError(400, "this model gives labels: use /v1/classify", "model")
    return served


def text_of(tokenizer: Tokenizer, token: int) -> str:
    """A token as text; half a character is U+FFFD."""
    return tokenizer.known_bytes(token).decode("utf-8", "replace")


@torch.inference_mode()
def embed(model: GPT, ids: Sequence[int]) -> Float[Tensor, " d_model"]:
    """A text as a direction: the mean of the last layer's states, of length 1.

    Raises `InputError` for a text without tokens, longer than the context, or with ids outside the
    vocabulary."""
    most = model.config.context_length
    if not 0 < len(ids) <= most:
        raise InputError(
            f"the text has {len(ids)} tokens; this model reads from 1 to {most}", "input"
        )
    check_prompt(ids, model.config)
    states = model.hidden(torch.tensor([list(ids)], device=model.device))[0]
    return torch.nn.functional.normalize(states.float().mean(dim=0), dim=0)
