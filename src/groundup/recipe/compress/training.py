"""A training on a text: what recovery and distillation have in common."""

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
) -> tuple[Run, dict[str, float]]:  # fmt: skip
    """Train `model` on windows of `length` tokens, in `place`; the run, and its figures at the end.
    `decisive` is all, beside the settings, that decides the weights. Goes on where it was broken off."""
    check_weights(config)
    windows = Windows(text.train, length, WindowConfig(seed=config.seed))

    def evaluate(run: Run, whole: bool) -> dict[str, float]:
        most = None if whole else config.eval_tokens
        return validation_figures(score_validation(model, text.validation, length, most))

    session = Session(
        place.training, identity_of(decisive | {"train": config.decisive()}), config,
        lambda n: windows.batch(n, config.micro_batch), objective, evaluate,
        (*hooks, watcher.stepped), improves="val_loss", evaluated=watcher.evaluated,
    )  # fmt: skip
    run, figures = run_session(model, session)
    model.eval()
    return run, figures


def check_weights(config: TrainConfig) -> None:
    """Raises `InputError` where answers are to count more, which only pretraining does."""
    if config.answer_weight != 1:
        raise InputError(
            "all tokens count alike here", "train.answer_weight", "leave it at 1, as it is"
        )
