"""Judging, voting and memorisation as `groundup evaluate` calls them, with real models and a server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import html

from groundup.cli.judging import add_arguments, run
from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.evaluate.results import Result
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import save
from tests.evaluate.chat_server import ChatServer, serving


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(ChatServer()) as one:
        yield one


@pytest.fixture
def folder(
    tmp_path: Path, model: GPT, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A model that knows nothing, and rows to answer."""
    save(model, tokenizer, tmp_path / "model")
    rows = [
        {
            "instruction": f"Where is Tom, {n}?",
            "output": "In the garden.",
            "other": "小明在花园。" * n,
        }
        for n in range(4)
    ]
    rows += [{"output": "no question"}, {"instruction": "小红在哪里？" * 40, "other": "?"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(models: list[str], *flags: str) -> list[Result]:
    parser = Parser("evaluate", "")
    add_arguments(parser)
    return run(parser.parse(list(flags)), models)


def by_section(results: list[Result]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for result in results:
        sections.setdefault(result.section, []).append(result.subject)
    return sections


def test_a_model_answers_and_is_judged_beside_others(
    server: ChatServer, folder: Path, capsys: pytest.CaptureFixture[str]
):
    flags = (
        "--judge",
        server.url,
        "--data",
        "rows.json",
        "--answers",
        "other",
        "--max-new-tokens",
        "5",
    )
    results = evaluate(["model"], *flags)
    assert {k: sorted(v) for k, v in by_section(results).items()} == {
        "Scores by the judge": ["model", "other"],
        "Places by the judge judge-8b": ["model", "other"],
        "The judge itself": ["judge-8b"],
    }
    assert len(server.prompts) == 4 * 4
    told = capsys.readouterr().err
    assert "1 questions are too long for model" in told
    assert "2 of 6 rows left out" in told and "row 5" in told and "row 6" in told
    evaluate(["model"], *flags)
    assert len(server.prompts) == 4 * 4


def test_alone_it_is_judged_beside_the_reference_on_rows_that_are_drawn(
    server: ChatServer, folder: Path
):
    results = evaluate(
        ["model"], "--judge", server.url, "--data", "rows.json", "--judge.rows", "2", "--judge.seed", "3",
        "--max-new-tokens", "3", "--judge.ask", "pairs",
    )  # fmt: skip
    assert sorted(by_section(results)["Places by the judge judge-8b"]) == ["model", "reference"]
    assert len(server.prompts) in (2, 4)  # 4, or 2 where one of the two rows is the one too long


def test_people_vote_on_a_page_and_their_votes_are_read_back(server: ChatServer, folder: Path):
    common = ("--data", "rows.json", "--answers", "other", "--max-new-tokens", "5")
    assert evaluate(["model"], *common, "--vote-page", "vote.html") == []
    page = html.document_fromstring((folder / "vote.html").read_text(encoding="utf-8"))
    data = json.loads(page.xpath("//script[@id='data']")[0].text)
    votes = [{"pair": p["pair"], "a": p["a"], "vote": "tie"} for p in data["pairs"]]
    (folder / "ann.json").write_text(json.dumps({"kind": data["kind"], "votes": votes}))
    results = evaluate(["model"], *common, "--votes", "ann.json", "--judge", server.url)
    sections = by_section(results)
    assert sorted(sections["Places by ann.json"]) == ["model", "other"]
    assert sections["Agreement"] == ["the judge and ann.json"]


def test_memorisation_is_measured_against_held_out_text(folder: Path, story: Path):
    (folder / "held-out.txt").write_text("Nobody has ever seen this text before. " * 40)
    [result] = evaluate(
        ["model"], "--memorisation", str(story), "--against", "held-out.txt",
        "--memorisation.prefix_tokens", "8", "--memorisation.continuation_tokens", "8",
    )  # fmt: skip
    assert result.subject == "model" and result.baselines[0].name == "held-out text"
    assert "no more than" in result.verdict


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--judge", "http://127.0.0.1:9"), "there are no questions"),
        (("--judge", "nowhere", "--data", "rows.json", "--answers", "other"), "not the address"),
        (("--votes", "a.json", "--data", "rows.json", "--answers", "othr"), "no field 'othr'"),
        (("--judge", "http://x", "--data", "rows.json"), "nobody answers"),
        (("--judge", "http://x", "--data", "a.json", "--judge.scale", "0-10"), "--judge.scale"),
        (("--judge", "http://x", "--data", "a.json", "--max-new-tokens", "0"), "--max-new-tokens"),
        (("--memorisation", "rows.json"), "nobody is there to recite"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    flags: tuple[str, ...], said: str, folder: Path
):
    with pytest.raises(InputError, match=said):
        evaluate([], *flags)
