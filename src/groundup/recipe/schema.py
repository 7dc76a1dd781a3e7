"""The whole configuration: one typed class for TOML files, command-line flags and their help."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from groundup.cleaning.clean import CleaningStep
from groundup.data.mixing import shares
from groundup.data.windows import WindowConfig
from groundup.errors import InputError, no_such, unknown
from groundup.files import atomic_file
from groundup.model.config import ModelConfig
from groundup.model.presets import preset
from groundup.settings import FieldsOf, Settings, called
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.tune.config import (
    AdapterConfig,
    ClassifyConfig,
    InstructConfig,
    PreferConfig,
    ReasonConfig,
    TuneTrainConfig,
)

_PACKAGE = Path(__file__).parent.parent
# Inside an installed package, or in the repository of an editable one.
SHIPPED = next(
    (p for p in (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes") if p.is_dir()),
    _PACKAGE / "recipes",
)


class SourceConfig(Settings):
    """One part of a mixture."""

    name: str = Field(pattern=r"^[\w-]+$")
    """What it is called in reports."""
    paths: list[str]
    """Its files and folders."""
    text_field: str | None = None
    """The field of a row that is its text, where it cannot be told."""
    weight: PositiveFloat | None = None
    """Its share of the training, beside the other sources' weights."""
    tokens: PositiveInt | None = None
    """Or: how many of its tokens are drawn, beside the other sources' budgets."""


class DataConfig(Settings):
    """The text: files of one's own, or the sample world."""

    paths: list[str] = []
    """Files and folders of documents, as seen from the folder where the command is said."""
    sources: list[SourceConfig] = []
    """Or several sources, mixed in set shares."""
    temperature: PositiveFloat = 1.0
    """Where sources have neither weights nor budgets, their shares are size^(1/temperature): 1 as
    they are, higher more equal (Conneau et al. 2020)."""
    clean: list[CleaningStep] = []
    """What is done to every document before anything is learned from it: names of cleaning steps, or
    tables such as { step = "length", fewest = 50 }, in their order."""
    validation: list[str] = []
    """Files for validation; without them a part of `paths` is kept for it."""
    against: list[str] = []
    """Test or exam files: documents that stand in them, exactly or nearly, are told of as leaks."""
    validation_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    """The part kept: by document, or the end of a single text."""
    text_field: str | None = None
    """The field of a row that is its text, where it cannot be told."""
    world_documents: NonNegativeInt = 0
    """Without `paths`: so many documents of the sample world."""
    package: str | None = None
    """Without `paths`: the Markdown files of an installed Python package."""

    hold_out: bool = True
    """Leave out what stands, exactly or nearly, in the rows that the tuning keeps for validation and
    test: what is measured on them would else be memory."""

    @property
    def is_world(self) -> bool:
        """True if the text is the sample world's."""
        return bool(self.world_documents and not self.paths and not self.sources)

    @model_validator(mode="after")
    def _sources_fit(self) -> "DataConfig":
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1 or name == "validation":
                raise ValueError(
                    f"the sources need different names, and none 'validation': {name!r}"
                )
        if self.sources and (self.paths or self.package or self.world_documents):
            raise ValueError("text comes from `sources` or from `paths`, not from both")
        weights, budgets = ([getattr(s, n) for s in self.sources] for n in ("weight", "tokens"))
        try:
            shares([1] * len(self.sources), weights, budgets)
        except InputError as error:
            raise ValueError(error.what) from None
        return self


class TokenizerConfig(Settings):
    """The vocabulary: learned from the text, or an existing one."""

    vocab_size: PositiveInt = 4096
    """Number of token ids, special tokens included."""
    kind: Literal["bpe", "byte", "character"] = "bpe"
    """Byte-pair encoding, plain bytes, or characters."""
    special_tokens: list[str] = ["<|endoftext|>"]
    """Tokens that are never split and never learned from text."""
    path: str | None = None
    """Directory of an existing tokenizer to use instead."""


class PretrainConfig(Settings):
    """The model and its training."""

    preset: str = "micro"
    """The model to begin from: a name of `groundup.model.presets`."""
    model: Annotated[dict[str, Any], FieldsOf(ModelConfig)] = {}
    """Any field of `ModelConfig` but `vocab_size`, to replace the preset's."""
    windows: WindowConfig = WindowConfig()
    """How windows are drawn from the text."""
    begin_from: str | None = None
    """A model directory whose weights and tokenizer training goes on from; `preset` and `model` are
    then its own."""
    train: TrainConfig = TrainConfig()
    """How long, how fast, with what."""
    prompt: str = ""
    """Beginning of the sample that is written at each evaluation; default: a line end."""

    def model_for(self, vocab_size: int) -> ModelConfig:
        """The model's configuration, once the vocabulary is known."""
        return preset(self.preset, **{"vocab_size": vocab_size, **self.model})


def _number(value: Any) -> Any:
    """A choice between numbers takes them from flags as well, which are text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class FinetuneConfig(Settings):
    """The job that the model is given."""

    objective: Literal["classify", "instruct", "prefer", "reason"] | None = None
    """A label for a text; answers to instructions; of two answers the better one; answers that can be
    checked. None: the pretrained model is the end."""
    model: str | None = None
    """The model to tune, instead of pretraining one: a model directory, a .gguf file or a hub id."""
    data: list[str] = []
    """Files of rows; default: those of `data.paths`, or the sample world."""
    epochs: PositiveFloat = 3.0
    """How often the rows are gone through, where `train.steps` does not say how long."""
    lora: AdapterConfig = AdapterConfig()
    """An adapter that trains instead of the model."""
    base_bits: Annotated[Literal[32, 8, 4], BeforeValidator(_number)] = 32
    """Below 32: the frozen model under an adapter is held in so many bits a weight (QLoRA, Dettmers et
    al. 2023)."""
    classify: ClassifyConfig = ClassifyConfig()
    instruct: InstructConfig = InstructConfig()
    prefer: PreferConfig = PreferConfig()
    reason: ReasonConfig = ReasonConfig()
    train: TuneTrainConfig = TuneTrainConfig()
    """How long, how fast, with what."""

    @property
    def kind(self) -> str:
        """The objective, where there is one."""
        if self.objective is None:
            raise InputError("this recipe tunes nothing", "finetune.objective")
        return self.objective


class EvaluateConfig(Settings):
    """What the finished model is measured on, beside its validation text."""

    text: list[str] = []
    """Files to measure bits per byte on."""
    stride: PositiveInt | None = None
    """By how many tokens the window moves on in a text that is longer than it: the fewer, the more
    each token has before it. Default: half of the context length."""
    exam: list[str] = []
    """Files of questions with choices and answers."""
    build_exam: bool = False
    """Without `exam`: make one of the documents that the run keeps for validation."""
    ask: Literal["text", "letter"] = "text"
    """Let the model answer an exam with a choice's words, or with its letter."""


class ReportConfig(Settings):
    """What the report reckons energy and cost with."""

    watts: PositiveFloat = 45.0
    """Power of the machine at work: about 45 for a laptop; for a GPU, its own and 100 more."""
    price_per_kwh: NonNegativeFloat = 0.3
    """In your currency."""


class Recipe(Settings):
    """One whole life of a model."""

    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pretrain: PretrainConfig = PretrainConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    parallel: ParallelConfig = ParallelConfig()
    report: ReportConfig = ReportConfig()

    @property
    def pretrains(self) -> bool:
        """False where a model of somebody's is tuned, and nothing else is trained."""
        return self.finetune.model is None


def read_recipe(name: str, overrides: dict[str, Any]) -> Recipe:
    """The recipe of a TOML file, or the one that ships under a name, with `overrides` put over it.
    `extends = "name"` at its top puts it over another recipe.

    Raises `InputError` for a missing file, invalid TOML, unknown settings and wrong values.
    """
    path = _find(name)
    recipe = _checked(merge(_values(path, ()), overrides), str(path))
    _refuse_another_shape(recipe, overrides)
    return recipe


def _values(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """The tables of a recipe file, put over those of the recipe that it `extends`."""
    if path in extended_by:
        circle = " → ".join(each.stem for each in (*extended_by, path))
        raise InputError(f"recipes extend each other in a circle: {circle}", str(path))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML: {error}", str(path), "mend this line") from None
    base = values.pop("extends", None)
    if base is None:
        return values
    below = _values(_find(str(base), path.parent), (*extended_by, path))
    return merge(below, values)


def _find(name: str, beside: Path = Path()) -> Path:
    """The file of a recipe: a path ending in .toml (taken from `beside`), or a shipped one's name."""
    is_path = name.endswith(".toml")
    path = beside / name if is_path else SHIPPED / f"{name}.toml"
    if path.is_file():
        return path.resolve()
    if is_path:
        others = (*path.parent.glob("*.toml"), *map(Path, shipped_recipes()))
        raise no_such("recipe file", path, others)
    if folder := folder_of_recipes(name):
        inside = ", ".join(sorted(str(path) for path in folder.glob("*.toml")))
        raise InputError("a folder of recipes, where one is needed", name, f"name one: {inside}")
    if (beside / name).exists():
        shipped = ", ".join(shipped_recipes())
        raise InputError(
            "this is no recipe: a recipe is a .toml file, a folder of them, or the name of one that "
            "ships", name,
            f"ships: {shipped}; to train one of them on this text, add --data {name}",
        )  # fmt: skip
    raise unknown("recipe", name, shipped_recipes(), str(beside) if beside.parts else None)


def parse_recipe(values: dict[str, Any], where: str | None = None) -> Recipe:
    """A recipe from nested values, its model checked as well."""
    recipe = _checked(values, where)
    _refuse_another_shape(recipe, values)
    return recipe


def _checked(values: dict[str, Any], where: str | None) -> Recipe:
    recipe = Recipe.parse(values, where)
    if recipe.pretrain.begin_from and not recipe.tokenizer.path:
        values = merge(values, {"tokenizer": {"path": recipe.pretrain.begin_from}})
        recipe = Recipe.parse(values, where)
    if "vocab_size" in recipe.pretrain.model:
        given = recipe.pretrain.model["vocab_size"]
        name, where = called(given, "pretrain.model.vocab_size", where)
        raise InputError(
            f"{name} cannot be set: the tokenizer gives it", where,
            "use --vocab-size, or vocab_size under [tokenizer]",
        )  # fmt: skip
    if not recipe.pretrain.begin_from:
        recipe.pretrain.model_for(recipe.tokenizer.vocab_size)
    return recipe


def _refuse_another_shape(recipe: Recipe, given: dict[str, Any]) -> None:
    """Raise `InputError` where the user wants another shape or vocabulary than those of the model to
    go on from; what a recipe file says of them is for those who begin anew."""
    if not recipe.pretrain.begin_from:
        return
    pretrain, tokenizer = given.get("pretrain", {}), given.get("tokenizer", {})
    shape = {f"pretrain.{n}": pretrain[n] for n in ("preset", "model") if pretrain.get(n)}
    shape |= {f"tokenizer.{name}": value for name, value in tokenizer.items() if name != "path"}
    if shape:
        setting, value = next(iter(shape.items()))
        first = next(iter(value.values())) if isinstance(value, dict) else value
        name, _ = called(first, setting, None)
        raise InputError(
            f"{name} cannot be set: the model to go on from has its shape and vocabulary already",
            recipe.pretrain.begin_from,
            "leave it out, or begin a new model without --from",
        )


def write_recipe(recipe: Recipe, path: Path) -> None:
    """The resolved recipe as TOML: every setting, defaults included."""
    with atomic_file(path, "wb") as file:
        tomli_w.dump(recipe.model_dump(exclude_none=True), file)


def shipped_recipes() -> list[str]:
    """The names of the recipes that come with groundup, and of the folders of them."""
    return sorted(path.stem for path in (*SHIPPED.glob("*.toml"), *SHIPPED.glob("*/")))


def folder_of_recipes(name: str) -> Path | None:
    """The folder of recipes of this name or at this path; None where there is no such folder."""
    shipped = {path.name: path for path in SHIPPED.glob("*/")}
    folder = shipped.get(name, Path(name))
    return folder if any(folder.glob("*.toml")) else None


def merge(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`values` with `overrides` put over them, table by table.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    merged = dict(values)
    for key, value in overrides.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merge(below, value)
        merged[key] = value
    return merged
