"""A trial of a recipe: what each stage does, done on a sample, and reckoned up to the whole."""

import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from math import log2
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from groundup.cleaning.clean import clean
from groundup.data.corpus import CorpusWriter
from groundup.data.shards import write_shards
from groundup.evaluate.language import score_language
from groundup.generation.text import generate
from groundup.model.config import ModelConfig
from groundup.model.cost import (
    forward_flops_per_token,
    parameter_count,
    training_flops_per_token,
)
from groundup.model.gpt import GPT
from groundup.model.lora import count_parameters
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import WORLD, documents, source_bytes
from groundup.recipe.finetune.stage import prepare, settings_of
from groundup.recipe.pretrain import SAMPLE_TOKENS, model_config
from groundup.recipe.schema import DataConfig, Recipe
from groundup.sources.read import read_pieces
from groundup.sources.source import Piece
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import Batches, start_run, train
from groundup.train.memory import AVERAGES
from groundup.train.metrics import matrix_peak
from groundup.train.objectives import Objective, next_token
from groundup.weights.directory import find, load_tokenizer, read_config
from groundup.world.documents import spaced

SAMPLE_BYTES = 16 << 20
SAMPLE_SECONDS = 6.0
TRAINING_SECONDS = 5.0
# Where a step takes longer than these seconds, it is not tried but reckoned from its operations, at the
# share of the matrix peak that training usually reaches.
LONGEST_STEP = 5.0
USUAL_SHARE = 0.7
FLOAT = 4


class Trial:
    """Measures stage by stage; a later stage's trial stands on what the earlier ones gave."""

    def __init__(
        self, recipe: Recipe, run: RunDirectory, tokenizer_is_done: bool, trained_steps: int
    ):
        """`trained_steps` are those of an interrupted training that goes on."""
        self.recipe, self.run, self.trained_steps = recipe, run, trained_steps
        self.tokenizer_path = run.tokenizer if tokenizer_is_done else recipe.tokenizer.path
        if recipe.finetune.model:  # there is no text but the one that is measured
            self.tokenizer_path = find(recipe.finetune.model)
            data = recipe.data.model_copy(update={"paths": recipe.evaluate.text})
            self.recipe = recipe.model_copy(update={"data": data})

    def measure(self, name: str) -> tuple[float, int]:
        """Seconds and bytes of disk that a stage will take."""
        stages: dict[str, Callable[[], tuple[float, int]]] = {
            "data": self._data, "tokenizer": self._tokenizer, "encode": self._encode,
            "pretrain": self._pretrain, "finetune": self._finetune, "evaluate": self._evaluate,
        }  # fmt: skip
        return stages[name]()

    # The text

    @cached_property
    def sample(self) -> "Sample":
        """Some of the documents, as many as a few seconds read."""
        return Sample(self.recipe.data)

    @cached_property
    def scale(self) -> float:
        """How many times the sample the whole text is."""
        if self.sample.is_whole:
            return 1.0
        if self.recipe.data.is_world:
            return self.recipe.data.world_documents / self.sample.documents
        return max(1.0, (source_bytes(self.recipe.data) or 0) / self.sample.bytes)

    @property
    def text_bytes(self) -> float:
        """The size of all clean text."""
        return self.scale * self.sample.clean_bytes

    @property
    def tokens(self) -> float:
        """The number of training tokens."""
        kept = 1 if self.recipe.data.validation else 1 - self.recipe.data.validation_fraction
        return kept * self.text_bytes / self.bytes_per_token

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.tokenizer_path) if self.tokenizer_path else self._learned[0]

    @cached_property
    def bytes_per_token(self) -> float:
        text = "".join(self.sample.texts)[: 1 << 20]
        return len(text.encode()) / max(1, len(self.tokenizer.encode(text)))

    def _data(self) -> tuple[float, int]:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            with CorpusWriter(Path(folder) / "sample.parquet") as corpus:
                for piece in self.sample.pieces:
                    corpus.add(piece)
            seconds = self.sample.seconds + time.perf_counter() - began
            size = (Path(folder) / "sample.parquet").stat().st_size
        return self.scale * seconds, int(self.scale * size)

    @cached_property
    def _learned(self) -> tuple[Tokenizer, float]:
        return self._learn(1)

    def _learn(self, part: int) -> tuple[Tokenizer, float]:
        """A vocabulary from a `part`-th of the sample, and the seconds it took."""
        config, texts = self.recipe.tokenizer, self.sample.texts
        began = time.perf_counter()
        tokenizer = Tokenizer.train_from_iterator(
            texts[: max(1, len(texts) // part)],
            config.vocab_size,
            config.special_tokens,
            config.kind,
        )
        return tokenizer, time.perf_counter() - began

    def _tokenizer(self) -> tuple[float, int]:
        """Seconds grow with the text to some power below 1: new words become rare."""
        if self.tokenizer_path:
            return 0.0, 1 << 20
        whole = self._learned[1]
        if self.sample.is_whole:
            return whole, 1 << 20
        power = log2(whole / self._learn(2)[1])
        return whole * self.scale ** min(1.0, max(0.0, power)), 1 << 20

    def _encode(self) -> tuple[float, int]:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            special = self.recipe.data.is_world
            write_shards(self.sample.pieces, self.tokenizer, Path(folder) / "tokens",
                         allow_special=special)  # fmt: skip
            seconds = time.perf_counter() - began
            size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        return self.scale * seconds, int(self.scale * size)

    # The model

    @cached_property
    def config(self) -> ModelConfig:
        if self.recipe.finetune.model:
            return read_config(find(self.recipe.finetune.model))
        return model_config(self.recipe, self.tokenizer.vocab_size)

    @cached_property
    def model(self) -> GPT:
        return GPT(self.config)

    @property
    def steps(self) -> int:
        """As many as the recipe says, or as its minutes allow."""
        config = self.recipe.pretrain.train
        if config.minutes is None:
            return config.steps
        return min(config.steps, int(60 * config.minutes / self._step_seconds))

    @property
    def epochs(self) -> float:
        """How often the text will be read."""
        config = self.recipe.pretrain.train
        step = config.micro_batch * config.grad_accumulation * self.config.context_length
        return self.steps * step / max(1.0, self.tokens)

    def model_disk(self) -> int:
        """Checkpoints, and one more while it is written, and the model."""
        config = self.recipe.pretrain.train
        weights = FLOAT * parameter_count(self.config)
        checkpoint = weights * (1 + AVERAGES[config.optimizer])
        return checkpoint * (config.keep_checkpoints + 1) + weights

    def _pretrain(self) -> tuple[float, int]:
        config = self.recipe.pretrain.train
        training = max(0, self.steps - self.trained_steps) * self._step_seconds
        validation = self.recipe.data.validation_fraction * self.text_bytes / self.bytes_per_token
        evaluations = self.steps // config.eval_every if config.eval_every else 0
        looked_at = evaluations * min(validation, config.eval_tokens) + validation
        checkpoints = self.steps // config.checkpoint_every + 1
        seconds = (
            training
            + looked_at * self._seconds_per_scored_token
            + (evaluations + 1) * self._sample_seconds()
            + checkpoints * self._checkpoint_seconds()
        )
        return seconds, self.model_disk()

    def _finetune(self) -> tuple[float, int]:
        """The rows are read and the first steps taken, with the model that is there; or with one of its
        size, where it is yet to be trained."""
        began = time.perf_counter()
        is_there = self.recipe.finetune.model or self.run.pretrained.is_dir()
        source = None if is_there else (self.model, self.tokenizer)
        tuning = prepare(self.recipe, self.run, source)
        config = settings_of(self.recipe.finetune, tuning)
        read = time.perf_counter()
        step = step_seconds(
            tuning.model, config, TRAINING_SECONDS, tuning.batches, tuning.objective
        )
        tried = time.perf_counter()
        tuning.finish()
        evaluation = time.perf_counter() - tried
        evaluations = config.steps // config.eval_every + 2
        sizes = count_parameters(tuning.model)
        checkpoint = FLOAT * sizes.trainable * (1 + AVERAGES[config.optimizer])
        disk = checkpoint * (config.keep_checkpoints + 1) + FLOAT * sizes.all
        return read - began + config.steps * step + evaluations * evaluation, disk

    @cached_property
    def reckoned_flops(self) -> float | None:
        """FLOP/s to reckon with where a single step would take longer than a trial may."""
        config, flops = self.recipe.pretrain.train, USUAL_SHARE * matrix_peak()
        step = config.micro_batch * self.config.context_length
        too_long = step * training_flops_per_token(self.config) / flops > LONGEST_STEP
        return flops if too_long else None

    @cached_property
    def _step_seconds(self) -> float:
        """The time of a training step once it runs smoothly."""
        config = self.recipe.pretrain.train
        if self.reckoned_flops:
            tokens = config.micro_batch * config.grad_accumulation * self.config.context_length
            return tokens * training_flops_per_token(self.config) / self.reckoned_flops
        return step_seconds(self.model, config, TRAINING_SECONDS)

    @cached_property
    def _seconds_per_scored_token(self) -> float:
        if self.reckoned_flops:
            return forward_flops_per_token(self.config) / self.reckoned_flops
        windows = self._windows(16)
        began = time.perf_counter()
        score_language(self.model, iter(windows), 1.0)
        return (time.perf_counter() - began) / windows[:, 1:].size

    def _sample_seconds(self) -> float:
        if self.reckoned_flops:  # each token reads all weights: some 10 GB/s
            return SAMPLE_TOKENS * FLOAT * parameter_count(self.config) / 10e9
        began = time.perf_counter()
        generate(self.model, self.tokenizer, "a", max_new_tokens=SAMPLE_TOKENS, seed=0)
        return time.perf_counter() - began

    def _checkpoint_seconds(self) -> float:
        """Writing and syncing at 200 MB/s, which laptops' disks reach."""
        size = FLOAT * parameter_count(self.config) * 3
        return size / 200e6

    def _windows(self, rows: int) -> ndarray:
        return _random_windows(self.config, rows)

    def _evaluate(self) -> tuple[float, int]:
        if not self.recipe.evaluate.text:
            return 0.0, 0
        sizes = (sum(len(p.text.encode()) for p in read_pieces([path]))
                 for path in self.recipe.evaluate.text)  # fmt: skip
        length = self.config.context_length
        looked_at = length / (self.recipe.evaluate.stride or max(1, length // 2))
        tokens = sum(sizes) / self.bytes_per_token
        return tokens * looked_at * self._seconds_per_scored_token, 0


def step_seconds(
    model: GPT,
    config: TrainConfig,
    seconds: float,
    batches: Batches | None = None,
    objective: Objective = next_token,
) -> float:
    """The time of a training step once it runs smoothly, from as many as `seconds` allow; `batches` are
    random windows unless given."""
    windows = _random_windows(model.config, config.micro_batch)
    batches = batches or (lambda n: windows)
    limits = {
        "steps": 3, "minutes": None, "schedule": "wsd", "warmup": 0.0, "learning_rate": 1e-6,
    }  # fmt: skip
    run = start_run(model, config.model_copy(update=limits))
    train(run, batches, objective)
    run.config = run.config.model_copy(
        update={"steps": 10_000, "minutes": (run.state.seconds + seconds) / 60}
    )
    before = run.state.step, run.state.seconds
    train(run, batches, objective)
    return (run.state.seconds - before[1]) / (run.state.step - before[0])


def _random_windows(config: ModelConfig, rows: int) -> Int[ndarray, "rows window"]:
    shape = rows, config.context_length + 1
    return np.random.default_rng(0).integers(config.vocab_size, size=shape)


class Sample:
    """Documents drawn until the time or the room for a sample is used up, then cleaned."""

    def __init__(self, data: DataConfig):
        began = time.perf_counter()
        drawn: list[Piece] = []
        self.bytes, self.is_whole = 0, True
        for piece in documents(data):
            drawn.append(piece)
            self.bytes += len(piece.text.encode())
            if self.bytes > SAMPLE_BYTES or time.perf_counter() - began > SAMPLE_SECONDS:
                self.is_whole = False
                break
        self.documents = sum(piece.starts_document for piece in drawn)
        self.pieces = list(clean(drawn, data.clean)[0])
        self.clean_bytes = sum(len(piece.text.encode()) for piece in self.pieces)
        self.seconds = time.perf_counter() - began

    @cached_property
    def texts(self) -> list[str]:
        return [spaced(p.text) if p.source == WORLD else p.text for p in self.pieces]
