"""Every text that is shown has its twin in every language, and every twin its text."""

import os
import subprocess
import sys

import pytest

from groundup.language import (
    LANGUAGES,
    LOCALE,
    catalogue,
    fields_of,
    in_language,
    pick_language,
    translate,
)
from tests.conftest import groundup
from tests.texts import Text, all_texts

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return list(all_texts())


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_has_its_twin_and_no_twin_is_left_over(language: str, texts: list[Text]):
    # A text that was changed is another text: its old twin is left over, and it has none.
    assert set(texts) - catalogue(language).keys() == set()
    assert catalogue(language).keys() - set(texts) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_twin_has_the_fields_of_its_text(language: str, texts: list[Text]):
    for text in texts:
        fields, twins = set(fields_of(text)), set(fields_of(catalogue(language).get(text, text)))
        assert fields - text.inflecting <= twins <= fields, text


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_stands_in_two_catalogues(language: str):
    texts = [
        entry.split("\nmsgstr")[0]
        for path in (LOCALE / language).glob("*.po")
        for entry in path.read_text(encoding="utf-8").split("\n\n")[1:]  # the first is the head
    ]
    assert len(texts) == len(set(texts))


def test_the_language_is_the_one_asked_for_or_the_users(monkeypatch: pytest.MonkeyPatch):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert pick_language() == "zh"
    assert pick_language("en") == "en"
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    assert pick_language() == "en"


def test_what_has_no_twin_is_shown_in_english():
    assert translate("no such text", "zh") == "no such text"


def test_a_filled_in_text_is_found_with_what_it_was_filled_with():
    assert in_language("unknown preset 'micr'", "zh") == "未知的预设 'micr'"
    assert in_language("  did you mean 'micro'? known: a, b", "zh").startswith(
        "  是不是想写 'micro'？"
    )
    assert (
        in_language("nothing of the kind stands there 12", "zh")
        == "nothing of the kind stands there 12"
    )


def in_chinese(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "groundup.cli.main", *arguments], capture_output=True, text=True,
        encoding="utf-8", env=os.environ | {"LC_ALL": "zh_CN.UTF-8", "PYTHONUTF8": "1"}, timeout=300,
    )  # fmt: skip


def test_messages_are_in_the_users_language():
    told = in_chinese("generate", "no-such-model", "--prompt", "Hello")
    assert told.returncode == 2
    assert told.stderr.startswith("错误: 没有这样的模型\n  位置: no-such-model\n  办法: ")


def test_the_language_asked_for_goes_before_that_of_the_user():
    assert in_chinese("--help", "--lang", "en").stdout == groundup("--help").stdout
    assert groundup("--lang=zh", "--help").stdout == in_chinese("--help").stdout
    assert "从零构建" in in_chinese("--help").stdout


def test_a_language_that_is_none_is_refused():
    told = groundup("--help", "--lang", "xx")
    assert told.returncode == 2
    assert "unknown language 'xx'" in told.stderr
    assert groundup("--help", "--lang").returncode == 2


def test_the_help_of_a_command_is_in_the_users_language():
    told = in_chinese("pretrain", "--help").stdout
    assert "用法: groundup pretrain" in told
    assert "show this help message" not in told
    assert "--train.learning_rate" in told
