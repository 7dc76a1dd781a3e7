"""`groundup data report`: what a text is like before anything is learned from it."""

import gzip
import json
import random
from pathlib import Path

import pytest

from groundup.data.survey import Survey
from groundup.sources.source import Piece
from tests.conftest import groundup

LETTERS = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生"


def sentences(seed: int, count: int) -> list[str]:
    """Different texts of some hundred characters, half of them Chinese."""
    rng = random.Random(seed)
    english = [
        "alpha",
        "river",
        "stone",
        "green",
        "under",
        "never",
        "seven",
        "table",
        "cloud",
        "music",
    ]
    made = []
    for i in range(count):
        if i % 2:
            made.append("".join(rng.choice(LETTERS) for _ in range(200)) + "。")
        else:
            made.append(" ".join(rng.choice(english) + str(rng.randint(0, 999)) for _ in range(40)))
    return made


def edited(text: str, seed: int) -> str:
    """A tenth of the characters replaced."""
    rng = random.Random(seed)
    characters = list(text)
    for place in rng.sample(range(len(text)), len(text) // 10):
        characters[place] = rng.choice("xyz")
    return "".join(characters)


def jsonl(path: Path, texts: list[str]) -> Path:
    rows = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def report(*arguments: object) -> dict:
    result = groundup("data", "report", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_report_counts_what_is_there(tmp_path: Path):
    texts = sentences(0, 40)
    planted = [texts[0], texts[1], texts[0], edited(texts[2], 1), edited(texts[3], 2)]
    found = report(jsonl(tmp_path / "rows.jsonl", [*texts, *planted, "电话13812345678。"]))
    assert found["documents"] == 46 and found["exact_duplicates"] == 3
    assert found["near_duplicates"] == 2
    assert found["bytes"] == sum(len(t.encode()) for t in [*texts, *planted, "电话13812345678。"])
    assert found["languages"]["zh"] >= 20 and found["pii"] == {"phone": 1}
    assert found["tokens"] > 0 and "parameters from scratch" in found["suffices"]
    assert found["lengths"]["longest"] >= found["lengths"]["median"] > 0
    assert found["leaks"] == found["problems"] == []


def test_problems_are_told_with_file_line_and_cure(tmp_path: Path):
    folder = tmp_path / "messy"
    folder.mkdir()
    jsonl(folder / "rows.jsonl", sentences(1, 4))
    with (folder / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n" + json.dumps({"text": "a good row after it"}) + "\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0\0")
    (folder / "empty.txt").write_text("")
    (folder / "chinese.txt").write_bytes(("".join(sentences(2, 2)[1:]) * 3).encode("gb18030"))
    with gzip.open(folder / "packed.txt.gz", "wt", encoding="utf-8") as file:
        file.write(sentences(3, 1)[0])
    found = report(folder)
    problems = {problem["kind"]: problem for problem in found["problems"]}
    assert problems["bad_json"]["line"] == 5 and problems["bad_json"]["fix"]
    assert Path(problems["binary"]["file"]).name == "picture.png"
    assert "no_text" in problems
    assert found["documents"] == 7, "all that can be read is read"
    assert found["encodings"] == {"utf-8": 3, "gb18030": 1}  # the empty file fits any


def test_leaks_into_the_examination_are_found_and_none_in_disjoint_texts(tmp_path: Path):
    texts = sentences(4, 60)
    train = jsonl(tmp_path / "train.jsonl", texts[:40])
    exam = jsonl(tmp_path / "exam.jsonl", [*texts[40:], texts[5], edited(texts[7], 3)])
    found = report(train, "--against", exam)
    pairs = {(leak["kind"], leak["train"], leak["against"]) for leak in found["leaks"]}
    assert pairs == {
        ("exact", f"{train}:6", f"{exam}:21"),
        ("near", f"{train}:8", f"{exam}:22"),
    }
    disjoint = jsonl(tmp_path / "disjoint.jsonl", texts[40:])
    assert report(train, "--against", disjoint)["leaks"] == []


def test_domain_terms_become_cheaper_when_the_vocabulary_is_learned_here(real_data: Path):
    found = report(real_data / "zh/law-exam.json", "--terms", "人民法院", "zzzz")
    costs = {cost["term"]: cost for cost in found["terms"]}
    assert costs["人民法院"]["occurrences"] > 10
    assert costs["人民法院"]["before"] == 12 and costs["人民法院"]["after"] <= 2
    assert costs["zzzz"]["occurrences"] == 0


def test_the_page_shows_tables_and_figures(tmp_path: Path):
    rows = jsonl(tmp_path / "rows.jsonl", [*sentences(5, 20), "mail me: someone@example.org now"])
    result = groundup("data", "report", rows, "--html", tmp_path / "page.html", "--terms", "river")
    assert result.returncode == 0 and "near_duplicates" in result.stdout
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in page and "river" in page and "email" in page


def test_text_comes_through_a_pipe():
    result = groundup("data", "report", "-", "--json", stdin="It was a dark night. " * 50)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["documents"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "no/such.txt"], "no such file"),
        (["reprot", "x"], "did you mean 'report'"),
        (["report", "x", "--hmtl", "y"], "--html"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str):
    result = groundup("data", *arguments)
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr


def test_a_document_in_pieces_is_one_document():
    survey = Survey(["be"])
    pieces = [Piece("to be or ", True, "a"), Piece("not to be", False, "a"), Piece("x", True, "b")]
    assert list(survey.watch(pieces)) == pieces
    assert survey.documents == 2 and list(survey.lengths) == [18, 1] and survey.terms["be"] == 2
