"""A folder of recipes is a comparison: each is trained with several seeds, and what every change
bought is written down.

Every training is a run of its own, in `runs/RECIPE/seed-N` of the comparison's directory, so what is
done is not done again and what is broken off goes on. Speed is measured when all trainings are over, as
they may have been disturbed; to measure it again, remove `speed.json`.
"""

import json
import shutil
import statistics
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from groundup.errors import InputError
from groundup.files import atomic_directory, atomic_file, link
from groundup.model.config import ModelConfig
from groundup.model.cost import memory_bytes
from groundup.model.gpt import GPT
from groundup.recipe.comparison import (
    Interval,
    Variant,
    difference,
    interval,
    markdown,
    report_page,
    verdict,
)
from groundup.recipe.directory import RunDirectory
from groundup.recipe.pretrain import Summary, model_config
from groundup.recipe.run import alone_in, run_recipe
from groundup.recipe.schema import Recipe, read_recipe
from groundup.recipe.stages import Ledger, Stage, carry_out
from groundup.recipe.trial import step_seconds
from groundup.recipe.watch import Watcher
from groundup.settings import flat
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import Run
from groundup.train.memory import training_bytes

SEEDS = 3
SPEED_ROUNDS = 3
SECONDS_OF_A_ROUND = 2.0
# What runs on the same text have in common.
OF_THE_TEXT = ("data", "tokenizer", "encode")


@dataclass(frozen=True)
class Trained:
    """A recipe with all that its runs have come to, seed by seed."""

    recipe: Recipe
    config: ModelConfig
    summaries: list[Summary]

    @property
    def scores(self) -> list[float]:
        """Bits per byte of the validation text."""
        return [s.val_bits_per_byte for s in self.summaries if s.val_bits_per_byte is not None]


@dataclass(frozen=True)
class Comparison:
    """What a comparison has made."""

    path: Path
    variants: list[Variant]

    def to_json(self) -> dict[str, Any]:
        return {
            "recipes": [asdict(variant) for variant in self.variants],
            "seeds": len(self.variants[0].by_seed),
            "report": str(self.report),
            "table": str(self.table),
        }

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def table(self) -> Path:
        """The table in Markdown."""
        return self.path / "comparison.md"


def read_recipes(folder: Path, overrides: dict[str, Any]) -> dict[str, Recipe]:
    """The recipes of a folder in the order of their names, with `overrides` put over each.

    Raises `InputError` for one that is wrong, and names it.
    """
    return {path.stem: _read(path, overrides) for path in sorted(folder.glob("*.toml"))}


def _read(path: Path, overrides: dict[str, Any]) -> Recipe:
    try:
        return read_recipe(str(path), overrides)
    except InputError as error:
        if error.where == str(path.resolve()):
            raise
        where = f"{path}, {error.where}" if error.where else str(path)
        raise InputError(error.what, where, error.fix) from None


def compare(recipes: dict[str, Recipe], seeds: int, out: Path, watcher: Watcher) -> Comparison:
    """Train each of `recipes` with `seeds` seeds, counted up from its own, measure their speed, and
    write `comparison.json`, `comparison.md` and `report.html` into `out`.

    Raises `StoppedError` on Ctrl-C, with the state saved, and `InputError` where no text is kept for
    validation.
    """
    if seeds < 1:
        raise InputError(f"--seeds must be at least 1, not {seeds}")
    with alone_in(out):
        trained = _train(recipes, seeds, out, watcher)
        speed = _speed_stage(trained, out / "speed.json")
        carry_out(speed, Ledger(out / "stages.json"), watcher, rebuild=True)
        speeds = json.loads(speed.result.read_text(encoding="utf-8"))
        comparison = Comparison(out, _variants(trained, speeds))
        _write(comparison)
    return comparison


def read_comparison(out: Path) -> Comparison:
    """The comparison that lies in `out`."""
    variants = json.loads((out / "comparison.json").read_text(encoding="utf-8"))["recipes"]
    for variant in variants:
        for name in ("bits_per_byte", "bought"):
            variant[name] = Interval(**variant[name]) if variant[name] else None
    return Comparison(out, [Variant(**variant) for variant in variants])


def _train(
    recipes: dict[str, Recipe], seeds: int, out: Path, watcher: Watcher
) -> dict[str, Trained]:
    """All runs, seed by seed, so that every recipe has been seen once before one is seen twice."""
    summaries: dict[str, list[Summary]] = {name: [] for name in recipes}
    run: RunDirectory | None = None
    for number, (seed, name) in enumerate(product(range(seeds), recipes), 1):
        watcher.stage(f"{name}, seed {seed}", f"run {number} of {seeds * len(recipes)}")
        before, run = run, _run_directory(out, name, seed)
        if before and not run.ledger.exists():
            _take_text(before, run)
        summary = run_recipe(
            _with_seed(recipes[name], seed), run.path, _WithinRun(watcher)
        ).pretrained
        if summary is None or summary.val_bits_per_byte is None:
            raise InputError(
                "the text is too short to keep a part for validation: nothing can be compared",
                str(run.path), "give more text, or files with --data.validation",
            )  # fmt: skip
        summaries[name].append(summary)
    return {
        name: Trained(recipe, _config(recipe, _run_directory(out, name, 0)), summaries[name])
        for name, recipe in recipes.items()
    }


def _run_directory(out: Path, name: str, seed: int) -> RunDirectory:
    return RunDirectory(out / "runs" / name / f"seed-{seed}")


def _config(recipe: Recipe, run: RunDirectory) -> ModelConfig:
    """The model's configuration with the vocabulary as it turned out."""
    return model_config(recipe, Tokenizer.load(run.tokenizer).vocab_size)


def _with_seed(recipe: Recipe, more: int) -> Recipe:
    """The recipe with `more` added to the seeds of its weights and of the order of its text."""
    pretrain = recipe.pretrain
    update = {
        part: settings.model_copy(update={"seed": settings.seed + more})
        for part, settings in (("train", pretrain.train), ("windows", pretrain.windows))
    }
    return recipe.model_copy(update={"pretrain": pretrain.model_copy(update=update)})


def _take_text(before: RunDirectory, run: RunDirectory) -> None:
    """Let a run begin with the documents, the vocabulary and the ids that another has made, linked and
    not copied. The keys in its ledger tell whether they fit; what does not is made anew."""
    for made in (before.corpus, before.tokenizer, before.tokens):
        with atomic_directory(run.path / made.relative_to(before.path)) as folder:
            shutil.copytree(made, folder, copy_function=link, dirs_exist_ok=True)
    records, ledger = Ledger(before.ledger).records, Ledger(run.ledger)
    for name in OF_THE_TEXT:
        ledger.put(name, records[name])


class _WithinRun(Watcher):
    """Passes on what happens within a run; that it begins, the comparison itself has said."""

    def __init__(self, watcher: Watcher):
        self.watcher = watcher

    def warned(self, text: str) -> None:
        self.watcher.warned(text)

    def advanced(self, done: int, total: int | None) -> None:
        self.watcher.advanced(done, total)

    def stepped(self, run: Run) -> None:
        self.watcher.stepped(run)

    def evaluated(self, row: dict[str, Any]) -> None:
        self.watcher.evaluated(row)


def _speed_stage(trained: dict[str, Trained], result: Path) -> Stage:
    def inputs() -> dict[str, Any]:
        return {
            name: [each.config.model_dump(), each.recipe.pretrain.train.model_dump()]
            for name, each in trained.items()
        }

    def build(watcher: Watcher) -> None:
        with atomic_file(result) as file:
            json.dump(_speeds(trained, watcher), file, indent=2)

    return Stage(
        "speed",
        "Training each recipe's model for some moments, in turns, to see how fast it learns.",
        inputs,
        build,
        result,
    )


def _speeds(trained: dict[str, Trained], watcher: Watcher) -> dict[str, list[float]]:
    """Tokens per second of each recipe's training, round by round."""
    speeds: dict[str, list[float]] = {name: [] for name in trained}
    turns = list(trained) * SPEED_ROUNDS
    for done, name in enumerate(turns, 1):
        config, train = trained[name].config, trained[name].recipe.pretrain.train
        tokens = train.micro_batch * train.grad_accumulation * config.context_length
        speeds[name].append(tokens / step_seconds(GPT(config), train, SECONDS_OF_A_ROUND))
        watcher.advanced(done, len(turns))
    return speeds


def _variants(trained: dict[str, Trained], speeds: dict[str, list[float]]) -> list[Variant]:
    return [
        _variant(name, trained[name], trained.get(before or ""), statistics.median(speeds[name]))
        for before, name in pairwise([None, *trained])
        if name
    ]


def _variant(name: str, trained: Trained, before: Trained | None, speed: float) -> Variant:
    """What was found of a recipe, beside the one before it if there is one."""
    bought = difference(before.scores, trained.scores) if before else None
    return Variant(
        name=name,
        changed=_changes(before, trained) if before else {},
        by_seed=trained.scores,
        bits_per_byte=interval(trained.scores),
        bought=bought,
        verdict=verdict(bought) if bought else None,
        parameters=trained.summaries[0].parameters,
        tokens=trained.summaries[0].tokens,
        tokens_per_second=speed,
        memory_bytes=sum(training_bytes(trained.config, trained.recipe.pretrain.train).values()),
        key_value_cache_bytes=memory_bytes(trained.config)["key_value_cache"],
    )


def _changes(before: Trained, after: Trained) -> dict[str, list[Any]]:
    """The settings that differ; of the model's fields those that a recipe or preset sets, not what
    follows from them."""
    chosen = before.config.model_fields_set | after.config.model_fields_set
    old, new = _settings(before, chosen), _settings(after, chosen)
    pairs = {name: [old.get(name), new.get(name)] for name in old | new}
    return {name: [was, now] for name, (was, now) in pairs.items() if was != now}


def _settings(trained: Trained, fields: set[str]) -> dict[str, Any]:
    tables = trained.recipe.model_dump()
    tables["pretrain"]["model"] = trained.config.model_dump(include=fields)
    return flat(tables)


def _write(comparison: Comparison) -> None:
    files = {
        comparison.path / "comparison.json": json.dumps(comparison.to_json(), indent=2),
        comparison.table: markdown(comparison.variants),
        comparison.report: report_page(f"Comparison {comparison.path.name}", comparison.variants),
    }
    for path, content in files.items():
        with atomic_file(path) as file:
            file.write(content)
