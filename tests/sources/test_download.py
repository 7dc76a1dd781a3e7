"""Files by URL: downloaded once, resumed, checked; from a real server on this machine."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from groundup.errors import GroundupError, InputError
from groundup.sources import remote
from groundup.sources.fingerprint import fingerprint
from groundup.sources.read import read_pieces

from .server import Web, serving

TEXT = "".join(f"{n} 这是一个很好的地方。A good place.\n" for n in range(20_000))
BODY = TEXT.encode()
HASH = sha256(BODY).hexdigest()


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.001)
    with serving(Web({"/books/a%20b.txt": BODY})) as served:
        yield served


def url(web: Web, fragment: str = "") -> str:
    return f"{web.address}/books/a%20b.txt{fragment}"


def text_of(given: str) -> str:
    return "".join(piece.text for piece in read_pieces([given]))


@pytest.mark.parametrize("fragment", ["", f"#sha256={HASH}", f"#sha256={HASH.upper()}"])
def test_a_url_is_downloaded_once_and_read_like_a_file(fragment: str, web: Web):
    assert text_of(url(web, fragment)) == TEXT
    asked = len(web.requests)
    assert text_of(url(web, fragment)) == TEXT and len(web.requests) == asked


def test_another_hash_is_refused_and_the_file_is_not_kept(web: Web):
    with pytest.raises(InputError, match=f"another hash: sha256={HASH}"):
        text_of(url(web, f"#sha256={'0' * 64}"))
    asked = len(web.requests)
    assert text_of(url(web, f"#sha256={HASH}")) == TEXT and len(web.requests) > asked


def test_what_is_no_hash_is_refused_before_anything_is_downloaded(web: Web):
    with pytest.raises(InputError, match="not a hash"):
        text_of(url(web, "#sha256=12"))
    assert not web.requests


def test_a_server_that_breaks_off_is_taken_up_at_the_same_byte(web: Web):
    web.breaks_after = 300_000
    assert text_of(url(web, f"#sha256={HASH}")) == TEXT
    starts = [asked for _, asked in web.requests]
    later = [f"bytes={start}-" for start in range(300_000, len(BODY), 300_000)]
    assert starts == [None, *later] and len(later) > 2


def test_a_server_without_ranges_is_read_from_the_beginning_again(web: Web):
    web.has_ranges, web.breaks_after = False, 300_000
    with pytest.raises(GroundupError, match="breaks off, 5 times in a row"):
        text_of(url(web))
    web.breaks_after = None
    assert text_of(url(web, f"#sha256={HASH}")) == TEXT


def test_a_later_attempt_goes_on_where_an_earlier_one_was_given_up(web: Web, monkeypatch):
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    web.breaks_after = 300_000
    with pytest.raises(GroundupError) as error:
        text_of(url(web))
    assert error.value.exit_status == 1 and "run again" in str(error.value)
    web.breaks_after, web.requests[:] = None, []
    assert text_of(url(web, f"#sha256={HASH}")) == TEXT
    assert ("/books/a%20b.txt", "bytes=300000-") in web.requests


def test_two_versions_of_a_file_are_never_joined(web: Web, monkeypatch):
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    web.breaks_after = 300_000
    with pytest.raises(GroundupError):
        text_of(url(web))
    changed = TEXT.replace("good", "nice")
    web.files["/books/a%20b.txt"], web.breaks_after = changed.encode(), None
    assert text_of(url(web)) == changed


def test_a_file_that_changes_while_it_is_read_is_said_so(web: Web):
    with remote.RemoteFile(url(web), "the file") as stream:
        assert stream.read(10) == BODY[:10]
        stream.seek(500)
        assert stream.read(10) == BODY[500:510]
        web.files["/books/a%20b.txt"] = BODY[::-1]
        stream.seek(20)
        with pytest.raises(GroundupError, match="changed on the server"):
            stream.read(10)


@pytest.mark.parametrize(("path", "said"), [("/absent.txt", "404"), ("/denied.txt", "403")])
def test_what_the_server_refuses_is_said_at_once(path: str, said: str, web: Web):
    web.denied.add("/denied.txt")
    with pytest.raises(InputError, match=f"the server answers {said}") as error:
        text_of(web.address + path)
    assert path in str(error.value) and len(web.requests) == 1


def test_no_network_is_one_clear_message(web: Web):
    with pytest.raises(GroundupError, match="cannot be reached") as error:
        text_of("http://127.0.0.1:9/a.txt")
    assert "check the network" in str(error.value)


def test_a_cache_that_cannot_be_written_is_said_in_words(web: Web, tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "file"))
    with pytest.raises(GroundupError, match="cannot keep the download") as error:
        text_of(url(web))
    assert "GROUNDUP_CACHE" in str(error.value)


def test_a_url_with_a_hash_has_the_fingerprint_of_the_file(web: Web, tmp_path: Path):
    (tmp_path / "a b.txt").write_bytes(BODY)
    expected = fingerprint([tmp_path / "a b.txt"])
    assert fingerprint([url(web, f"#sha256={HASH}")]) == expected == fingerprint([url(web)])
