"""Datasets of the hub by name: the real client, against a hub on this machine."""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest

from groundup.errors import GroundupError, InputError
from groundup.sources import remote
from groundup.sources.fingerprint import fingerprint
from groundup.sources.hub import splits_by_name
from groundup.sources.read import read_pieces

from .server import Web, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def table(texts: list[str]) -> bytes:
    buffer = io.BytesIO()
    other = ["x" * 5000 + text for text in texts]
    parquet.write_table(pyarrow.table({"id": other, "text": texts}), buffer, row_group_size=100)
    return buffer.getvalue()


def rows(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


TRAIN = [f"{n} 这是一个故事。A story." for n in range(500)]
DATASETS: dict[str, dict[str, bytes]] = {
    "somebody/stories": {
        "README.md": b"# Stories",
        ".gitattributes": b"",
        "dataset_infos.json": b"{}",
        "data/train-00000-of-00002.parquet": table(TRAIN[:300]),
        "data/train-00001-of-00002.parquet": table(TRAIN[300:]),
        "data/test-00000-of-00001.parquet": table(["t"]),
    },
    "somebody/lines": {
        "train.jsonl.gz": gzip.compress(rows("one", "二")),
        "valid.jsonl": rows("three"),
    },
    "somebody/single": {"all.txt": b"everything\n"},
    "somebody/declared": {"en/a.jsonl": rows("a"), "en/b.jsonl": rows("b"), "zh/x.jsonl": rows("x")},
    "somebody/folders": {"law/train/1.txt": b"law\n", "tales/train/1.txt": b"tale\n"},
    "somebody/pictures": {"a.png": b"?"},
    "somebody/columns": {"train.csv": b"id,note\n1,two\n"},
}  # fmt: skip
CARDS = {
    "somebody/declared": {
        "configs": [
            {"config_name": "en", "data_files": [
                {"split": "train", "path": "en/a*"}, {"split": "rest", "path": ["en/b.jsonl"]}]},
            {"config_name": "zh", "data_files": "zh/*"},
        ]
    }
}  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The hub's paths that the client asks for: what a dataset is, and its files."""
    files: dict[str, bytes] = {}
    for name, content in DATASETS.items():
        siblings = [
            {"rfilename": file, "size": len(body), "blobId": sha1(body).hexdigest()}
            for file, body in content.items()
        ]
        described = {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": CARDS.get(name)}
        files[f"/api/datasets/{name}"] = json.dumps(described).encode()
        for file, body in content.items():
            files[f"/datasets/{name}/resolve/{COMMIT}/{file}"] = body
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.001)
    with serving(Web(files)) as web:
        monkeypatch.setenv("HF_ENDPOINT", web.address)
        yield web


def texts(*names: str) -> list[str]:
    return [piece.text for piece in read_pieces(list(names))]


def test_the_shards_of_a_split_are_read_in_order(hub: Web):
    pieces = list(read_pieces(["hf:somebody/stories"]))
    assert [piece.text for piece in pieces] == TRAIN
    shard = "hf:somebody/stories/data/train-00001-of-00002.parquet"
    assert pieces[-1].where == f"{shard}:200"
    assert texts("hf:somebody/stories:test") == ["t"]


def test_compressed_rows_are_streamed_and_names_tell_the_splits(hub: Web):
    assert texts("hf:somebody/lines") == ["one", "二"]
    assert texts("hf:somebody/lines:validation") == ["three"]
    assert texts("hf:somebody/single") == ["everything\n"]


def test_the_head_of_the_readme_decides_before_names_do(hub: Web):
    assert texts("hf:somebody/declared/en") == ["a"]
    assert texts("hf:somebody/declared/en:rest") == ["b"]
    assert texts("hf:somebody/declared/zh:train") == ["x"]
    with pytest.raises(InputError, match="several configurations") as error:
        texts("hf:somebody/declared")
    assert "hf:somebody/declared/en: en, zh" in str(error.value)


def test_without_a_head_a_configuration_is_a_folder(hub: Web):
    assert texts("hf:somebody/folders/law") == ["law\n"]
    assert texts("hf:somebody/folders") == ["law\n", "tale\n"]


@pytest.mark.parametrize(
    ("given", "said", "fix"),
    [
        ("hf:somebody/absent", "no such dataset", "HF_TOKEN"),
        (
            "hf:somebody/stories:tran",
            "no split 'tran'",
            "did you mean 'train'? it has: test, train",
        ),
        ("hf:somebody/declared/fr", "unknown configuration 'fr'", "known: en, zh"),
        ("hf:somebody/folders/lav", "unknown configuration 'lav'", "did you mean 'law'?"),
        ("hf:somebody/pictures", "no data files", ".parquet"),
        ("hf:stories", "not the name of a dataset", "hf:owner/name"),
        ("hf:somebody/columns", "which field", "it has: id, note"),
    ],
)
def test_what_the_hub_does_not_have_is_said_with_what_it_has(
    given: str, said: str, fix: str, hub: Web
):
    with pytest.raises(InputError, match=said) as error:
        texts(given)
    assert fix in str(error.value) and "hf:s" in str(error.value)


def test_a_hub_that_breaks_off_is_taken_up_at_the_same_byte(hub: Web):
    hub.breaks_after = 3000
    assert texts("hf:somebody/stories") == TRAIN
    assert any(asked for _, asked in hub.requests)


def test_a_hub_that_is_lost_in_the_middle_ends_with_one_clear_message(hub: Web):
    reading = read_pieces(["hf:somebody/stories"])
    assert next(reading).text == TRAIN[0]
    hub.breaks_after = 0
    with pytest.raises(GroundupError, match="breaks off, 5 times in a row") as error:
        list(reading)
    assert "hf:somebody/stories/data/train-0000" in str(error.value)


def test_no_network_is_one_clear_message(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(GroundupError, match="the hub cannot be reached") as error:
        texts("hf:somebody/stories")
    assert "HF_ENDPOINT" in str(error.value) and error.value.exit_status == 1


def test_the_token_is_sent(hub: Web, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    texts("hf:somebody/single")
    assert hub.tokens == ["Bearer hf_secret"] * len(hub.requests)


def test_the_fingerprint_follows_the_split_and_its_content_without_reading_it(hub: Web):
    train = fingerprint(["hf:somebody/stories"])
    assert train == fingerprint(["hf:somebody/stories:train"])
    assert train != fingerprint(["hf:somebody/stories:test"])
    assert not any("resolve" in path for path, _ in hub.requests)
    described = hub.files["/api/datasets/somebody/stories"]
    blob = sha1(DATASETS["somebody/stories"]["data/train-00001-of-00002.parquet"]).hexdigest()
    changed = described.replace(blob.encode(), b"0" * 40)
    hub.files["/api/datasets/somebody/stories"] = changed
    assert train != fingerprint(["hf:somebody/stories"])


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (["my-dev-set.jsonl"], {"validation": ["my-dev-set.jsonl"]}),
        (["a/eval/x.txt", "a/b.txt"], {"test": ["a/eval/x.txt"]}),
        (["data/train_sft-00000-of-00004-ab12.parquet"],
         {"train_sft": ["data/train_sft-00000-of-00004-ab12.parquet"]}),
        (["trainer.txt", "latest.txt"], {"train": ["trainer.txt", "latest.txt"]}),
    ],
)  # fmt: skip
def test_names_tell_the_splits(files: list[str], splits: dict[str, list[str]]):
    assert splits_by_name(files) == splits


def test_the_command_line_reads_from_a_mirror(hub: Web, tmp_path: Path):
    result = subprocess.run(
        [sys.executable, "-m", "groundup.cli.main", "tokenizer", "train", "hf:somebody/stories",
         "--vocab-size", "300", "--out", str(tmp_path / "t"), "--json"],
        capture_output=True, text=True, timeout=120,
        env=os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["vocab_size"] == 300
