"""A training on a text: what recovery and distillation have in common."""

from collections.abc import Callable
from typing import Any

from groundup.data.windows import WindowConfig, Windows
from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.recipe.compress.place import Place
from groundup.recipe.finetune.general import GeneralText
from groundup.recipe.pretrain import score_validation, validation_figures
from groundup.recipe.watch import Watcher
from groundup.train.checkpoint import identity_of
from groundup.train.config import TrainConfig
from groundup.train.loop import Hook, Run
from groundup.train.objectives import Objective
from groundup.train.session import Session, run_session


def train_on(
    text: GeneralText, length: int, model: GPT, objective: Objective, config: TrainConfig,
    decisive: dict[str, Any], place: Place, watcher: Watcher, hooks: tuple[Hook, ...] = (),
    batch: Callable[[int, int], Any] | None = None,
) -> tuple[Run, dict[str, Any]]:  # fmt: skip
    """Train `model` on windows of `length` tokens, in `place`; the run, and its figures at the end.
    `decisive` is all, beside the settings, that decides the weights. `batch` gives what `objective`
    wants for so many windows from the n-th on, if that is not the windows alone. Goes on where it was
    broken off."""
    check_weights(config)
    batch = batch or training_windows(text, length, config).batch

    def evaluate(run: Run, whole: bool) -> dict[str, float]:
        most = None if whole else config.eval_tokens
        return validation_figures(score_validation(model, text.validation, length, most))

    session = Session(
        place.training, identity_of(decisive | {"train": config.decisive()}), config,
        lambda n: batch(n, config.micro_batch), objective, evaluate,
        (*hooks, watcher.stepped), improves="val_loss", evaluated=watcher.evaluated,
    )  # fmt: skip
    run, figures = run_session(model, session)
    model.eval()
    return run, figures


def training_windows(text: GeneralText, length: int, config: TrainConfig) -> Windows:
    """What is trained on, in its order."""
    return Windows(text.train, length, WindowConfig(seed=config.seed))


def check_weights(config: TrainConfig) -> None:
    """Raises `InputError` where answers are to count more, which only pretraining does."""
    if config.answer_weight != 1:
        raise InputError(
            "all tokens count alike here", "train.answer_weight", "leave it at 1, as it is"
        )
