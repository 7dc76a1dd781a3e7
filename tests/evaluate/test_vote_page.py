"""The page where people vote: blinded, without network, whole; and its votes read back."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lxml import html

from groundup.errors import InputError
from groundup.evaluate.cases import Case, asked
from groundup.evaluate.judge_results import agreement_results, place_results
from groundup.evaluate.verdicts import Verdict
from groundup.evaluate.vote_page import read_votes, write_vote_page
from groundup.sources.rows import BadRows


def cases(count: int = 12) -> list[Case]:
    said = {"tiny_model": "No </script><b>way</b>.", "large_model": "不行，因为 {x}。"}
    return [
        Case(asked(f"Question <i>{n}</i>?"), None, f"rows:{n}", dict(said)) for n in range(count)
    ]


def data_of(text: str) -> dict:
    [element] = html.document_fromstring(text).xpath("//script[@id='data']")
    return json.loads(element.text)


def voted(path: Path, text: str, choose) -> Path:
    """What the page gives to download after `choose(pair)` was clicked for each."""
    data = data_of(text)
    votes = [{"pair": p["pair"], "a": p["a"], "vote": choose(p)} for p in data["pairs"]]
    path.write_text(json.dumps({"kind": data["kind"], "votes": votes}), encoding="utf-8")
    return path


def test_the_page_holds_every_pair_and_no_name():
    text = write_vote_page(cases(), seed=0)
    pairs = data_of(text)["pairs"]
    assert {pair["question"] for pair in pairs} == {f"Question <i>{n}</i>?" for n in range(12)}
    assert {pair["A"] for pair in pairs} == {"No </script><b>way</b>.", "不行，因为 {x}。"}
    assert "tiny_model" not in text and "large_model" not in text


def test_the_page_is_whole_and_asks_for_nothing_from_the_network():
    text = write_vote_page(cases(), seed=0)
    page = html.document_fromstring(text)
    assert not page.xpath("//@src | //@href | //link | //iframe")
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|@import|url\(", text)
    [script] = page.xpath("//script[not(@id)]")
    ids = set(page.xpath("//@id"))
    used = set(re.findall(r'element\("(\w+)"\)', script.text)) | {"A", "B"}
    assert used <= ids
    assert page.xpath("//button/@data-vote") == ["A", "tie", "B"]
    for words in ("A is better", "A 更好", "localStorage", "Download the votes", "下载投票"):
        assert words in script.text


def test_the_script_can_be_read_by_a_browser(tmp_path: Path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    [script] = html.document_fromstring(write_vote_page(cases(), 0)).xpath("//script[not(@id)]")
    path = tmp_path / "page.js"
    path.write_text(script.text, encoding="utf-8")
    assert subprocess.run([node, "--check", path]).returncode == 0


def test_which_answer_is_a_is_drawn(tmp_path: Path):
    pairs = data_of(write_vote_page(cases(40), seed=1))["pairs"]
    firsts = [pair["A"].startswith("No") for pair in pairs]
    assert 8 < sum(firsts) < 32
    again = data_of(write_vote_page(cases(40), seed=1))["pairs"]
    assert again == pairs and data_of(write_vote_page(cases(40), seed=2))["pairs"] != pairs


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_votes_are_read_back_as_verdicts_whatever_the_seed_of_the_page(seed: int, tmp_path: Path):
    text = write_vote_page(cases(), seed)
    path = voted(tmp_path / "ann.json", text, lambda p: "A" if p["A"].startswith("No") else "B")
    bad = BadRows()
    verdicts = read_votes(path, cases(), bad)
    assert len(verdicts) == 12 and {v.winner for v in verdicts} == {"tiny_model"} and not bad
    [first, _] = place_results(verdicts, "Places by ann")
    assert first.subject == "tiny_model" and first.verdict == "place 1 of 2"


def test_a_vote_for_a_tie_is_a_tie(tmp_path: Path):
    path = voted(tmp_path / "ann.json", write_vote_page(cases(2), 0), lambda pair: "tie")
    assert [v.winner for v in read_votes(path, cases(2), BadRows())] == [None, None]


def test_votes_about_other_answers_are_counted(tmp_path: Path):
    path = voted(tmp_path / "ann.json", write_vote_page(cases(3), 0), lambda pair: "A")
    others = cases(3)
    others[2].answers["tiny_model"] = "Something else."
    bad = BadRows()
    assert len(read_votes(path, others, bad)) == 2
    [(where, what)] = bad.problems
    assert "ann.json, vote" in where and "not here" in what
    with pytest.raises(InputError, match="no vote is about"):
        read_votes(path, [Case(asked("Another?"), None, "rows:1", {"a": "1", "b": "2"})], bad)


def test_models_with_the_same_answer_share_a_vote(tmp_path: Path):
    these = [Case(asked("Why?"), None, "rows:1", {"a": "So.", "b": "So.", "c": "Because."})]
    text = write_vote_page(these, 0)
    assert len(data_of(text)["pairs"]) == 1
    path = voted(tmp_path / "ann.json", text, lambda p: "A" if p["A"] == "So." else "B")
    verdicts = read_votes(path, these, BadRows())
    assert sorted(v.winner or "" for v in verdicts) == ["a", "b"]


def test_people_are_compared_with_the_judge_and_with_each_other(tmp_path: Path):
    text = write_vote_page(cases(), 0)
    short = voted(tmp_path / "ann.json", text, lambda p: "A" if p["A"].startswith("No") else "B")
    ties = voted(tmp_path / "ben.json", text, lambda p: "tie")
    voters = {path.stem: read_votes(path, cases(), BadRows()) for path in (short, ties)}
    judge = [Verdict(c.question, "tiny_model", "large_model", "tiny_model") for c in cases()]
    found = {r.subject: r.figures[0].value for r in agreement_results(judge, voters)}
    assert found == {"the judge and ann": 1.0, "the judge and ben": 0.0, "ann and ben": 0.0}


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"kind": "groundup votes", "votes": [{"pair": 1}]}',
                '{"kind": "groundup votes", "votes": [3]}', '{"kind": "x", "votes": []}'],
)  # fmt: skip
def test_what_is_no_file_of_votes_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "votes.json"
    path.write_text(content)
    with pytest.raises(InputError, match="no file of votes"):
        read_votes(path, cases(), BadRows())
    with pytest.raises(InputError, match="cannot read"):
        read_votes(tmp_path / "absent.json", cases(), BadRows())


def test_without_two_different_answers_there_is_nothing_to_vote_on():
    with pytest.raises(InputError, match="all answers to 1 questions are equal"):
        write_vote_page([Case(asked("Why?"), None, "rows:1", {"a": "So.", "b": "So."})], 0)
    with pytest.raises(InputError, match="nothing to compare the answers with"):
        write_vote_page([Case(asked("Why?"), None, "rows:1", {"a": "So."})], 0)
