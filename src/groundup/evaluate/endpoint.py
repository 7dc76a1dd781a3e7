"""A model behind HTTP: any server that speaks OpenAI's chat protocol (Ollama, vLLM, llama.cpp, ours).

One conversation in, one reply out; faults of the network are waited out, what waiting does not cure is
said once, and a reply that is none is a value of its own, so that it can be counted.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from groundup.errors import GroundupError, InputError, unknown
from groundup.settings import Settings
from groundup.sources.remote import RETRIED_STATUSES
from groundup.tokenizer.chat import Message

KEY_VARIABLE = "GROUNDUP_JUDGE_API_KEY"
COMPLETIONS = "/chat/completions"
# A server may ask for a longer wait than is ours; none may ask for more than this.
LONGEST_WAIT_SECONDS = 60
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class EndpointConfig(Settings):
    """How to reach the model that judges."""

    model: str | None = None
    """Its name on the server; without it, the only one that the server has."""
    api_key: str | None = None
    """The server's key; better in the environment, as GROUNDUP_JUDGE_API_KEY, where no other user of
    this machine sees it."""
    max_tokens: PositiveInt = 1024
    """The longest reply."""
    timeout_seconds: PositiveFloat = 120.0
    """How long to wait for one reply."""
    attempts: PositiveInt = 5
    """How often to ask before the network is given up."""
    first_wait_seconds: NonNegativeFloat = 0.5
    """The wait before the second attempt; it doubles before each one after."""


class MalformedReply(Exception):  # noqa: N818 (no error of ours: what the server said)
    """An answer of the server that holds no message; the text is its beginning."""


class Endpoint:
    """A model on a server, to be asked from several threads at once. Use it in a `with`.

    Raises `InputError` for an address that is none, a key that is refused, a model that is not there
    (with the nearest name), and `GroundupError` where the server cannot be reached.
    """

    def __init__(self, url: str, config: EndpointConfig):
        self.url, self.config = base_url(url), config
        key = config.api_key or os.environ.get(KEY_VARIABLE)
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=config.timeout_seconds,
            trust_env=urlsplit(self.url).hostname not in THIS_MACHINE,  # no proxy leads back to us
        )
        try:
            self.model = config.model or self._only_model()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, messages: Sequence[Message]) -> dict[str, Any]:
        """What is sent for a conversation. Temperature 0, so that a judge says the same again, as far
        as its server lets it."""
        return {
            "model": self.model, "messages": list(messages), "temperature": 0,
            "max_tokens": self.config.max_tokens,
        }  # fmt: skip

    def reply(self, request: dict[str, Any]) -> str:
        """The text that the model answers. Raises `MalformedReply` if there is none in the answer,
        however often it is asked for."""
        response = self._persistently(
            lambda: self._client.post(self.url + COMPLETIONS, json=request), _has_message
        )
        if (text := _message(response)) is None:
            raise MalformedReply(response.text[:200])
        return text

    def models(self) -> list[str]:
        """The names of the models that the server has; none where it does not tell."""
        response = self._persistently(lambda: self._client.get(self.url + "/models"))
        try:
            return [row["id"] for row in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            return []

    def _only_model(self) -> str:
        names = self.models()
        if len(names) == 1:
            return names[0]
        fix = f"name one with --judge.model: {', '.join(names) or 'the server does not list them'}"
        raise InputError("it is not clear which model is to judge", self.url, fix)

    def _persistently(
        self,
        send: Callable[[], httpx2.Response],
        is_whole: Callable[[httpx2.Response], bool] = lambda response: True,
    ) -> httpx2.Response:
        """The response to what `send` sends, sent again after longer and longer waits while the network
        fails, the server is busy or its answer `is_whole` not."""
        last: httpx2.Response | str = ""
        for attempt in range(self.config.attempts):
            if attempt:
                time.sleep(self._wait(attempt, last))
            try:
                last = send()
            except httpx2.TransportError as error:
                last = f"{type(error).__name__}: {error}".removesuffix(": ")
                continue
            except httpx2.InvalidURL as error:
                raise InputError(f"not an address: {error}", self.url) from None
            if last.is_success and is_whole(last):
                return last
            if not last.is_success and last.status_code not in RETRIED_STATUSES:
                raise self._refusal(last)
        if isinstance(last, httpx2.Response) and last.is_success:
            return last
        reason = last if isinstance(last, str) else f"it answers {_status(last)}"
        raise GroundupError(
            f"the judge cannot be reached, {self.config.attempts} times in a row: {reason}", self.url,
            "start its server, or check the address and the network; verdicts that are there are kept",
        )  # fmt: skip

    def _wait(self, attempt: int, last: httpx2.Response | str) -> float:
        """Seconds to wait: ours, or what a busy server asks for."""
        own = self.config.first_wait_seconds * 2 ** (attempt - 1)
        asked = last.headers.get("Retry-After", "") if isinstance(last, httpx2.Response) else ""
        return min(max(own, float(asked) if asked.isdigit() else 0.0), LONGEST_WAIT_SECONDS)

    def _refusal(self, response: httpx2.Response) -> InputError:
        """The error for an answer that waiting does not change."""
        what = f"the judge's server answers {_status(response)}"
        if response.status_code in (401, 403):
            return InputError(what, self.url, f"give its key in {KEY_VARIABLE}")
        if response.status_code == 404 and response.request.method == "POST":
            if (names := self.models()) and self.model not in names:
                return unknown("model", self.model, names, self.url)
            return InputError(what, self.url, "check the address: it ends in /v1 with most servers")
        if response.has_redirect_location:
            return InputError(what, self.url, f"give {response.headers['Location']} instead")
        return InputError(what, self.url, "check the address and the settings --judge.…")


def base_url(given: str) -> str:
    """The address before `/chat/completions`: what was given, with /v1 where it is a bare host.

    >>> base_url("http://localhost:11434")
    'http://localhost:11434/v1'
    """
    url = given.rstrip("/").removesuffix(COMPLETIONS)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fix = "write it as http://localhost:11434/v1"
        raise InputError("not the address of a server", given, fix)
    return url if parts.path else f"{url}/v1"


def _status(response: httpx2.Response) -> str:
    """The status with what the server says beside it."""
    said = " ".join(response.text.split())[:200]
    return f"{response.status_code} {response.reason_phrase}".strip() + (f": {said}" if said else "")


def _message(response: httpx2.Response) -> str | None:
    """The text of the first choice, None if the answer has not this form."""
    try:
        text = response.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return None
    return text if isinstance(text, str) and text.strip() else None


def _has_message(response: httpx2.Response) -> bool:
    return _message(response) is not None
