"""What a learner is told, through the processes in which their files run."""

from pathlib import Path

import pytest

from groundup.lab.check import Checker
from groundup.lab.finding import Finding

HEAD = "import torch\n\n\ndef causal_mask(time, total, device):\n"
RIGHT = HEAD + "    return torch.ones(time, total, dtype=torch.bool).tril(total - time)\n"


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker("en", ["causal_mask"])


def check(checker: Checker, folder: Path, content: str) -> Finding:
    path = folder / "causal_mask.py"
    path.write_text(content, encoding="utf-8")
    return checker.check("causal_mask", path)


@pytest.mark.parametrize(
    ("body", "line", "code", "message"),
    [
        ("    while True:\n        pass", 5, "while True:", "no end"),
        ("    try:\n        while True:\n            pass\n    except Exception:\n        pass", 6,
         "while True:", "no end"),
        ("    return torch.ones(time, totl)", 5, "return torch.ones(time, totl)", "'totl' is not defined"),
        ("    return torch.ones(time, total", 5, "return torch.ones(time, total", "no Python"),
        ("    exit(0)", 5, "exit(0)", "SystemExit"),
        ("    import os\n    os._exit(3)", None, "", "ended the whole process (exit status 3)"),
        ("    return None", None, "", "should be a tensor of shape [5, 8]"),
        ("    return torch.ones(total, time, dtype=torch.bool)", None, "", "has the shape [8, 5]"),
        ("    return torch.ones(time, total).tril(total - time)", None, "", "should hold torch.bool"),
        ("    return torch.ones(time, total, dtype=torch.bool)", None, "", "is True at [0, 4], and should be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(
    body: str, line: int | None, code: str, message: str, checker: Checker, tmp_path: Path
):
    found = check(checker, tmp_path, HEAD + body + "\n")
    assert found.status == "wrong"
    assert message in found.message
    assert (found.code, found.line) == (
        code,
        line,
    ) or message == "no end"  # either line of the loop
    assert message != "no end" or found.line in (line, (line or 0) + 1)


def test_a_right_part_passes_whatever_else_is_in_the_file(checker: Checker, tmp_path: Path):
    more = RIGHT + '\nprint("looking at it:", causal_mask(2, 3, torch.device("cpu")))\n'
    assert check(checker, tmp_path, more)._replace(hint=None) == Finding("passed")


def test_a_part_under_another_name_is_missed(checker: Checker, tmp_path: Path):
    found = check(checker, tmp_path, RIGHT.replace("causal_mask", "mask"))
    assert found.message == "causal_mask is not in the file any more"


def test_a_learner_is_told_in_their_language(tmp_path: Path):
    wrong = RIGHT.replace("total - time)", "total - time + 1)")
    found = check(Checker("zh", ["causal_mask"]), tmp_path, wrong)
    assert found.message == "result 在 [0, 4] 处是 True，应为 False（共 40 个，错了 4 个）"
    assert found.diagnosis == "掩码错开了一位：每个查询都看到了后一个词元，而那正是要预测的。"


def test_a_function_without_a_return_is_told_so(checker: Checker, tmp_path: Path):
    found = check(checker, tmp_path, HEAD + "    mask = torch.ones(time, total)\n")
    assert found.diagnosis == "Nothing comes back: a function gives what stands behind `return`."


def test_a_blank_with_a_comment_is_a_blank(checker: Checker, tmp_path: Path):
    found = check(checker, tmp_path, HEAD + "    raise NotImplementedError()  # tomorrow\n")
    assert found.status == "blank"


def test_a_file_in_another_encoding_is_told(checker: Checker, tmp_path: Path):
    path = tmp_path / "causal_mask.py"
    path.write_bytes(RIGHT.encode() + "NAME = 'é'\n".encode("latin-1"))
    assert "this is no Python" in checker.check("causal_mask", path).message
    path.write_bytes(b"# coding: latin-1\n" + RIGHT.encode() + "NAME = 'é'\n".encode("latin-1"))
    assert checker.check("causal_mask", path).status == "passed"


def test_a_dataclass_may_help(checker: Checker, tmp_path: Path):
    helper = 'from dataclasses import dataclass\n\n\n@dataclass\nclass Size:\n    time: "int"\n\n\n'
    assert check(checker, tmp_path, helper + RIGHT).status == "passed"
