"""The guide's pages on tuning, generation, compression and evaluation work as they are written, and both
languages show the same."""

import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundup.cli.main import run
from groundup.data.instructions import conversation
from groundup.model.lora import adapted_layers
from groundup.recipe.schema import parse_recipe, read_recipe
from tests.conftest import STORY
from tests.evaluate.chat_server import ChatServer, serving

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("tuning", "generation", "compress", "evaluation")
ALL_PAGES = (*PAGES, "serving")  # a server does not end by itself: tests/serve starts it
HEADINGS = re.compile(r"^(#+) (.+)$", re.M)
PLACES = ["garden", "kitchen", "market", "forest"]
THINGS = ["basket", "lantern", "candle", "blanket", "hammer", "bottle", "pillow", "ladder"]
# What makes a command small enough for a test, by its verb.
SHORTENED = {
    "tokenizer train": "--vocab-size 300",
    "pretrain": "--preset nano --train.steps 3 --model.d_model 32 --model.n_layers 2 "
    "--model.context_length 128",
    "finetune": "--train.steps 2 --train.micro_batch 2",
    "finetune prefer": "--train.learning_rate 0.05",  # so that its answers are others
    "finetune reason": "--reason.max_new_tokens 4 --reason.answers 2",
    "compress prune": "--train.steps 2 --train.micro_batch 2",
    "compress distill": "--train.steps 2 --train.micro_batch 2",
    "compress distill --teacher runs/base/pretrain/model --student nano": "--model.d_model 32 "
    "--model.n_layers 1",
    "compress report": "--new-tokens 2",
    "chat": "--max-new-tokens 3",
    "generate": "--max-new-tokens 5",
    "evaluate": "--max-new-tokens 3 --judge.rows 2 --memorisation.prefix_tokens 8 "
    "--memorisation.continuation_tokens 8 --cloze.least_before 4",
}


def page(language: str, name: str) -> str:
    return (DOCS / language / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.S)


def commands(text: str) -> list[list[str]]:
    lines = "".join(blocks(text, "console")).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines]


def shortened(command: list[str]) -> list[str]:
    said = " ".join(command)
    return command + [
        word for verb, flags in SHORTENED.items() if said.startswith(verb) for word in flags.split()
    ]


def write_rows(path: Path, *rows: dict) -> None:
    lines = [json.dumps(row) for n in range(10) for row in rows]
    path.write_text("\n".join(line.replace("#", str(n)) for n, line in enumerate(lines)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "tasks").mkdir()
    # The end is kept for validation: things that come three times there, to build an exam of.
    told = "".join(f"Mia carries her old {thing} into the house.\n" for thing in THINGS * 3)
    for name in ("my_folder/story.txt", "my_book.txt"):
        (tmp_path / name).write_text(STORY * 3 + told, encoding="utf-8")
    (tmp_path / "other.txt").write_text("Nobody has ever seen this text before. " * 60)
    where = "Where is Tom on day #?"
    lines = [f"{'ab'[n % 2]}\tTom is here on day {n}\n" for n in range(40)]
    (tmp_path / "labels.tsv").write_text("label\ttext\n" + "".join(lines))
    write_rows(
        tmp_path / "rows.jsonl", {"instruction": where, "input": "", "output": "In the garden."}
    )
    write_rows(
        tmp_path / "pairs.jsonl", {"prompt": where, "chosen": "In the garden.", "rejected": "No."}
    )
    write_rows(tmp_path / "questions.jsonl", {"question": where, "answer": "In the garden."})
    asked = {"question": where, "choices": PLACES}
    write_rows(tmp_path / "exam.json", asked | {"answer": "B"}, asked | {"answer": "garden"})
    rows = [json.loads(line) for line in (tmp_path / "exam.json").read_text().splitlines()]
    (tmp_path / "exam.json").write_text(json.dumps(rows))
    write_rows(tmp_path / "tasks/rows.jsonl", asked | {"answer": 0}, asked | {"answer": 1})
    (schema,) = blocks(page("en", "generation"), "json")
    (tmp_path / "answer.json").write_text(schema)
    (task,) = blocks(page("en", "evaluation"), "yaml")
    (tmp_path / "tasks/where_is.yaml").write_text(task)
    return tmp_path


@pytest.fixture
def judge() -> Iterator[ChatServer]:
    with serving(ChatServer()) as server:
        yield server


def test_every_command_works_in_its_order(
    folder: Path, judge: ChatServer, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("Where is Tom?"))  # what is said in the chat
    for name in PAGES:
        for command in commands(page("en", name)):
            here = [
                {"http://localhost:11434/v1": judge.url, "NAME": "judge-8b"}.get(w, w)
                for w in command
            ]
            assert run(shortened(here)) == 0, (command, capsys.readouterr().err)
    told = capsys.readouterr()
    assert "knows no turns" not in told.err
    for sentence in (
        "bits per byte",
        "than guessing",
        "Task: where_is",
        "The judge itself",
        "recites",
    ):
        assert sentence in told.out
    assert "runs/answers" in (folder / "compared.html").read_text(encoding="utf-8")
    assert (folder / "vote.html").is_file()
    assert "columns@0.25" in (folder / "runs/variants/report.html").read_text(encoding="utf-8")
    (example,) = blocks(page("en", "tuning"), "python")
    names: dict = {}
    exec(example, names)
    # What a model of three steps says may well be nothing; that the adapter is in it can be seen.
    assert {part.active for part in adapted_layers(names["model"]).values()} == {"answers"}
    assert all(part.merged is not None for part in adapted_layers(names["model"]).values())


def test_its_rows_are_conversations_and_its_recipes_are_recipes(folder: Path):
    for language in ("en", "zh"):
        rows = [
            json.loads(line) for line in blocks(page(language, "tuning"), "json")[0].splitlines()
        ]
        assert [conversation(row)[-1]["role"] for row in rows] == ["assistant"] * 4
        Path("mine.toml").write_text(blocks(page(language, "tuning"), "toml")[0])
        assert read_recipe("mine.toml", {}).finetune.lora.rank == 16
        assert parse_recipe(
            tomllib.loads(blocks(page(language, "evaluation"), "toml")[0])
        ).evaluate.build_exam


@pytest.mark.parametrize("name", ALL_PAGES)
def test_both_languages_say_the_same(name: str):
    english, chinese = page("en", name), page("zh", name)
    levels = [[len(marks) for marks, _ in HEADINGS.findall(text)] for text in (english, chinese)]
    assert levels[0] == levels[1]
    ours, theirs = (
        [[word for word in c if word.isascii() and " " not in word] for c in commands(text)]
        for text in (english, chinese)
    )
    assert ours == theirs
    files = [sorted(set(re.findall(r"`(\w+/[\w/]+\.py)`", text))) for text in (english, chinese)]
    assert files[0] == files[1]
    source = DOCS.parent / "src/groundup"
    assert all((source / file).is_file() for file in files[0])


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ALL_PAGES)
def test_every_link_leads_somewhere(language: str, name: str):
    for target in re.findall(r"\]\(([^)]+)\)", page(language, name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        text = ((DOCS / language / path) if path else DOCS / language / f"{name}.md").read_text(
            "utf-8"
        )
        named = [title.lower().replace(" ", "-") for _, title in HEADINGS.findall(text)]
        assert not anchor or anchor in named, target
