"""Answers judged over HTTP: blinded, in both orders, with position bias caught, faults of the server
waited out or said, and nothing asked twice after an interruption."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError, InputError
from groundup.evaluate.cases import Case, asked, complete_cases, names_of, read_cases
from groundup.evaluate.endpoint import Endpoint, EndpointConfig, MalformedReplyError, base_url
from groundup.evaluate.judge import JudgeConfig, Judgement, judge, read_score, read_verdict
from groundup.evaluate.judge_results import judge_results
from groundup.evaluate.kept import Kept
from groundup.sources.rows import BadRows
from tests.evaluate.chat_server import ChatServer, first_judge, serving
from tests.llama_cpp import listening

QUICK = {"first_wait_seconds": 0.01, "timeout_seconds": 5.0}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(ChatServer()) as one:
        yield one


def cases(count: int = 6, **answers: str) -> list[Case]:
    """Questions to which `short` says "No." and `long` gives its reasons."""
    said = answers or {"short": "No.", "long": "No, and here is why it is not so."}
    return [
        Case(
            asked(f"Is {n} a prime, {{yes}} or no?"),
            f"That is for {n} to say.",
            f"rows:{n}",
            dict(said),
        )
        for n in range(count)
    ]


def judged(server: ChatServer, these: list[Case], path: Path, **changed: object) -> Judgement:
    config = JudgeConfig(**(QUICK | changed))  # type: ignore[arg-type]
    with Kept(path / "kept.jsonl") as kept:
        return judge(server.url, these, config, kept)


# --- scores and pairs ----------------------------------------------------------------------------


def test_the_longer_answer_wins_in_both_orders_whatever_it_is_called(
    server: ChatServer, tmp_path: Path
):
    judgement = judged(server, cases(), tmp_path)
    assert judgement.judge == "judge-8b"
    assert [c.winner for c in judgement.comparisons] == ["long"] * 6
    assert not any(c.depends_on_order for c in judgement.comparisons)
    scores = {(s.case.where, s.name): s.value for s in judgement.scores}
    assert scores["rows:0", "short"] == 3 and scores["rows:0", "long"] == 33
    assert all("characters" in s.reason for s in judgement.scores)
    assert len(server.prompts) == 6 * (2 + 2)


def test_a_judge_that_always_takes_the_first_decides_nothing_and_is_found_out(
    server: ChatServer, tmp_path: Path
):
    server.judge = first_judge
    judgement = judged(server, cases(), tmp_path, ask="pairs")
    assert [c.winner for c in judgement.comparisons] == [None] * 6
    assert all(c.depends_on_order and c.said == ("A", "A") for c in judgement.comparisons)
    itself = judge_results(judgement, "0-100")[-1]
    assert itself.subject == "judge-8b" and itself.figures[0].value == 1.0
    assert "in 6 it was the one shown first" in itself.verdict


def test_the_judge_sees_no_name_and_each_pair_in_both_orders(server: ChatServer, tmp_path: Path):
    judged(server, cases(20, model_x="yes yes", model_y="no no no"), tmp_path, ask="pairs")
    assert not any("model_x" in prompt or "model_y" in prompt for prompt in server.prompts)
    shown = [re.search(r"\[Answer A\]\n(.*)\n\[End of answer A\]", p) for p in server.prompts]
    assert sorted(found[1] for found in shown if found) == ["no no no"] * 20 + ["yes yes"] * 20


def test_which_answer_is_shown_first_is_drawn_by_the_seed_for_each_question(
    server: ChatServer, tmp_path: Path
):
    def firsts(seed: int, these: list[Case]) -> list[str]:
        found = judged(server, these, tmp_path, ask="pairs", seed=seed).comparisons
        return [comparison.first for comparison in found]

    drawn = firsts(0, cases(30))
    assert 5 < drawn.count("long") < 25
    assert firsts(0, cases(30)[10:]) == drawn[10:]
    assert firsts(1, cases(30)) != drawn


def test_one_model_alone_is_compared_with_the_reference(server: ChatServer, tmp_path: Path):
    judgement = judged(server, cases(4, mine="x" * 60), tmp_path)
    assert [c.winner for c in judgement.comparisons] == ["mine"] * 4
    names = {name for c in judgement.comparisons for name in (c.first, c.second)}
    assert names == {"mine", "reference"}
    scoring = [p for p in server.prompts if "Score: N" in p]
    assert len(scoring) == 4 and all("That is for" in prompt for prompt in scoring)


def test_two_answers_that_are_the_same_are_a_tie_without_a_call(server: ChatServer, tmp_path: Path):
    judgement = judged(server, cases(3, a="the same", b="the same"), tmp_path, ask="pairs")
    assert [c.winner for c in judgement.comparisons] == [None] * 3
    assert not server.prompts and not any(c.depends_on_order for c in judgement.comparisons)


def test_replies_without_a_verdict_are_counted_and_listed(server: ChatServer, tmp_path: Path):
    server.judge = lambda prompt: "I would rather not say."
    judgement = judged(server, cases(2), tmp_path)
    assert not judgement.comparisons and not judgement.scores
    assert len(judgement.malformed) == 2 * 4
    [itself] = judge_results(judgement, "0-100")
    assert itself.figures[0].value == 8
    assert itself.tables[0].rows[0][-1] == "I would rather not say."


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Good.\nScore: 85", 85), ("**Score:** 7.5", 7.5), ("Score: 85/100", 85), ("72", 72),
        ("72 / 100.", 72), ('{"score": 40, "reason": "thin"}', 40), ("很好。评分：90", 90),
        ("A score of 3 would be harsh. Score: 60", 60), ("<think>Score: 1</think>\nScore: 99", 99),
        ("Score: 101", None), ("Score: -5", None), ("It is good.", None), ("", None),
        ("<think>Score: 50, or is it", None),
    ],
)  # fmt: skip
def test_scores_are_read_from_what_judges_write(reply: str, score: float | None):
    assert read_score(reply, "0-100") == score


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Both fine.\n[[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "tie"), ("[[Tie]]", "tie"),
        ("[[A]] at first, but no: [[B]]", "B"), ("Verdict: B", "B"), ("The winner is answer A.", "A"),
        ("a", "A"), ("A bad answer, both times.", None), ("", None), ("<think>[[A]]</think>[[B]]", "B"),
    ],
)  # fmt: skip
def test_verdicts_are_read_from_what_judges_write(reply: str, verdict: str | None):
    assert read_verdict(reply) == verdict


@settings(max_examples=50)
@given(st.text())
def test_no_reply_breaks_the_reading(reply: str):
    score = read_score(f"{reply} Score: 5 {reply}", "1-10")
    assert score is None or 1 <= score <= 10
    assert read_verdict(reply) in ("A", "B", "tie", None)


# --- the server ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "busy", "slow", "disconnect", "no json", "no message"])
def test_a_fault_that_passes_is_waited_out(fault: str, server: ChatServer, tmp_path: Path):
    server.faults = [fault] * 2  # type: ignore[list-item]
    judgement = judged(server, cases(2), tmp_path, timeout_seconds=0.4, concurrency=1)
    assert [c.winner for c in judgement.comparisons] == ["long"] * 2 and not judgement.malformed
    assert len(server.requests) == 2 * 4 + 2


def test_answers_without_a_reply_are_counted_when_they_do_not_pass(
    server: ChatServer, tmp_path: Path
):
    server.faults = ["no json"] * 3
    judgement = judged(server, cases(1), tmp_path, attempts=3, concurrency=1, ask="scores")
    [malformed] = judgement.malformed
    assert "a proxy's page" in malformed.reply
    assert len(judgement.scores) == 1


def test_a_server_that_stays_broken_is_one_clear_message_and_what_came_is_kept(
    server: ChatServer, tmp_path: Path
):
    these = cases(5)
    judged(server, these[:2], tmp_path)
    server.faults = ["500"] * 100
    with pytest.raises(GroundupError, match=r"fails, 2 times in a row: it answers 500.*crashed"):
        judged(server, these, tmp_path, attempts=2)
    # What is kept is counted, not what the server hears: calls that were given up may still arrive there.
    server.faults, before = [], (tmp_path / "kept.jsonl").read_text().count("\n")
    judged(server, these, tmp_path)
    assert (tmp_path / "kept.jsonl").read_text().count("\n") - before == 3 * 4


def test_a_server_that_is_not_there_is_one_clear_message(tmp_path: Path):
    with pytest.raises(GroundupError, match="ConnectError") as error:
        judged(ChatServer(url="http://127.0.0.1:9"), cases(1), tmp_path, attempts=2)
    assert error.value.exit_status == 1 and "start the server" in str(error.value)


def test_a_missing_key_is_said_and_the_right_one_opens(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server.key = "secret"
    with pytest.raises(InputError, match="401.*invalid api key") as error:
        judged(server, cases(1), tmp_path, model="judge-8b")
    assert "GROUNDUP_JUDGE_API_KEY" in str(error.value)
    monkeypatch.setenv("GROUNDUP_JUDGE_API_KEY", "secret")
    assert judged(server, cases(1), tmp_path, model="judge-8b").scores
    assert "secret" not in (tmp_path / "kept.jsonl").read_text()


def test_an_unknown_model_is_refused_with_the_nearest_name(server: ChatServer, tmp_path: Path):
    server.models = ("llama3:latest", "qwen3:8b")
    with pytest.raises(InputError, match="unknown model 'qwen3:8'") as error:
        judged(server, cases(1), tmp_path, model="qwen3:8")
    assert "did you mean 'qwen3:8b'?" in str(error.value)
    with pytest.raises(InputError, match="not just one model") as error:
        judged(server, cases(1), tmp_path)
    assert "llama3:latest" in str(error.value)


def test_a_server_that_lists_no_models_judges_with_the_one_that_is_named(
    server: ChatServer, tmp_path: Path
):
    server.lists_models = False
    with pytest.raises(InputError, match="it does not tell"):
        judged(server, cases(1), tmp_path)
    assert judged(server, cases(1), tmp_path, model="judge-8b").scores


def test_a_wrong_path_is_not_taken_for_a_wrong_model(server: ChatServer, tmp_path: Path):
    wrong = ChatServer(url=f"{server.url}/api")
    with pytest.raises(InputError, match="404") as error:
        judged(wrong, cases(1), tmp_path, model="judge-8b")
    assert "check the address" in str(error.value)


@pytest.mark.parametrize(
    ("given_url", "used"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://host/v1/", "http://host/v1"),
        ("https://host/api/v1/chat/completions", "https://host/api/v1"),
    ],
)
def test_addresses_are_taken_as_people_give_them(given_url: str, used: str):
    assert base_url(given_url) == used


@pytest.mark.parametrize(
    "wrong", ["localhost:11434", "ftp://host/v1", "", "http://", "http://[::1"]
)
def test_what_is_no_address_is_refused(wrong: str, tmp_path: Path):
    with pytest.raises(InputError, match="not the address"):
        judged(ChatServer(url=wrong), cases(1), tmp_path, model="m")


def test_no_more_calls_are_under_way_than_allowed(server: ChatServer, tmp_path: Path):
    server.seconds = 0.03
    judged(server, cases(6), tmp_path, concurrency=3)
    assert server.most_at_once == 3


def test_a_reply_that_is_none_is_an_error_of_its_own(server: ChatServer):
    async def ask() -> str:
        async with Endpoint(server.url, EndpointConfig(attempts=1)) as endpoint:
            return await endpoint.reply(endpoint.request([{"role": "user", "content": "?"}]))

    server.faults = ["no message"]
    with pytest.raises(MalformedReplyError, match="no reply in the answer"):
        asyncio.run(ask())


def test_llama_cpp_s_own_server_is_understood(smollm2: Path, tmp_path: Path):
    with listening(smollm2, n_ctx=512) as address:
        judgement = judged(
            ChatServer(url=address), cases(1, a="No."), tmp_path, ask="scores", max_tokens=12,
            timeout_seconds=120,
        )  # fmt: skip
    # A model so small seldom finds a score: what counts is that every reply is accounted for.
    assert len(judgement.scores) + len(judgement.malformed) == 1
    assert "SmolLM2" in judgement.judge
    assert "a: Is 0 a prime" in (tmp_path / "kept.jsonl").read_text()


# --- what is kept --------------------------------------------------------------------------------


def test_a_second_run_asks_nothing_again_and_a_changed_answer_only_what_it_touches(
    server: ChatServer, tmp_path: Path
):
    these = cases(4)
    first = judged(server, these, tmp_path)
    count = len(server.prompts)
    second = judged(server, these, tmp_path)
    assert len(server.prompts) == count
    assert [s.value for s in first.scores] == [s.value for s in second.scores]
    these[1].answers["short"] = "Well."
    judged(server, these, tmp_path)
    assert len(server.prompts) == count + 3  # its score, and the pair in both orders


def test_half_a_line_at_the_end_is_dropped_and_what_is_not_ours_is_left_alone(tmp_path: Path):
    path = tmp_path / "kept.jsonl"
    with Kept(path) as kept:
        kept.add(["a", 1], "äöü 好", "one")
        kept.add(["b", 2], "two", "two")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with Kept(path) as kept:
        assert kept.get(["a", 1]) == "äöü 好" and kept.get(["b", 2]) is None
        kept.add(["b", 2], "two", "two")
    assert path.read_bytes() == whole
    for foreign in (b'{"instruction": "What?"}', b'{"instruction": "What?"}\n', b"notes"):
        path.write_bytes(foreign)
        with pytest.raises(InputError, match="no kept answer"):
            Kept(path)
        assert path.read_bytes() == foreign


def test_a_file_that_another_process_writes_is_refused(tmp_path: Path):
    path = tmp_path / "kept.jsonl"
    program = f"""
from groundup.evaluate.kept import Kept
from pathlib import Path
with Kept(Path({str(path)!r})):
    print("has it", flush=True)
    input()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin and other.stdout
    with other:
        assert other.stdout.readline() == b"has it\n"
        with pytest.raises(InputError, match="another process"):
            Kept(path)
        other.communicate(b"\n")
    with Kept(path):
        assert path.parent.exists()


def test_killed_in_the_middle_it_goes_on_where_it_was(server: ChatServer, tmp_path: Path):
    server.seconds = 0.05
    rows = tmp_path / "rows.jsonl"
    lines = [
        {"instruction": f"Say {n}.", "output": "No", "a": "x" * n, "b": "y"} for n in range(2, 22)
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    program = f"""
from pathlib import Path
from groundup.evaluate.cases import read_cases
from groundup.evaluate.judge import JudgeConfig, judge
from groundup.evaluate.kept import Kept
from groundup.sources.rows import BadRows
with Kept(Path({str(tmp_path / "kept.jsonl")!r})) as kept:
    judge({server.url!r}, read_cases([{str(rows)!r}], ["a", "b"], BadRows()), JudgeConfig(), kept)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    while len(server.prompts) < 20 and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)  # replies on their way
    before = len(server.prompts)
    assert 20 <= before < 80
    server.seconds = 0.0
    judgement = judged(server, read_cases([str(rows)], ["a", "b"], BadRows()), tmp_path)
    assert [c.winner for c in judgement.comparisons] == ["a"] * 20
    lost = len(server.prompts) - 80
    assert 0 <= lost <= JudgeConfig().concurrency  # those that were under way


# --- rows ----------------------------------------------------------------------------------------


def test_questions_and_answers_come_from_fields_and_files(tmp_path: Path):
    rows, other = tmp_path / "rows.jsonl", tmp_path / "other.json"
    rows.write_text(
        '{"instruction": "Add.", "input": "1 + 1", "output": "2", "model_a": "two"}\n'
        '{"question": "Why?", "answer": "Because.", "model_a": ""}\n'
        '{"instruction": "", "output": "2", "model_a": "two"}\n'
        '{"instruction": "No answer of a."}\n'
    )
    said = [
        {"instruction": "Add.", "input": "1 + 1", "model_response": "It is 2."},
        {"instruction": "Why?", "model_response": ""},
        {"instruction": "Why?"},
    ]
    other.write_text(json.dumps(said))
    bad = BadRows()
    found = read_cases([str(rows)], ["model_a", str(other)], bad)
    assert [case.question for case in found] == ["Add.\n\n1 + 1", "Why?"]
    assert [case.reference for case in found] == ["2", "Because."]
    assert found[0].answers == {"model_a": "two", "other": "It is 2."}
    assert found[1].answers == {"model_a": "", "other": ""}
    assert [where.rpartition("/")[2] for where, _ in bad.problems] == [
        "rows.jsonl:3", "rows.jsonl:4", "other.json, row 3",
    ]  # fmt: skip


def test_a_conversation_is_asked_whole_and_its_last_answer_is_the_reference(tmp_path: Path):
    rows = tmp_path / "rows.jsonl"
    said = [("system", "Be short."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"),
            ("assistant", "Because.")]  # fmt: skip
    messages = [{"role": role, "content": text} for role, text in said]
    rows.write_text(json.dumps({"messages": messages, "mine": "So."}))
    [case] = read_cases([str(rows)], ["mine"], BadRows())
    assert case.turns == messages[:-1] and case.reference == "Because."
    assert case.question == "system: Be short.\n\nuser: Hi\n\nassistant: Hello\n\nuser: Why?"


def test_a_question_that_somebody_has_not_answered_is_left_out_and_counted():
    these = cases(3)
    del these[1].answers["long"]
    bad = BadRows()
    assert complete_cases(these, ["short", "long"], bad) == [these[0], these[2]]
    assert bad.problems == [("rows:1", "no answer of long")]
    with pytest.raises(InputError, match="none of"):
        complete_cases(these, ["short", "nobody"], BadRows())


def test_names_that_stand_for_two_are_refused():
    assert names_of(["runs/a", "runs/b"], ["gpt"]) == ["runs/a", "runs/b", "gpt"]
    for models, written in ((["m", "m"], []), (["m"], ["reference"]), ([], [])):
        with pytest.raises(InputError):
            names_of(models, written)
