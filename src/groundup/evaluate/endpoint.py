"""A model behind HTTP: any server that speaks OpenAI's chat protocol (Ollama, vLLM, llama.cpp, ours).

One conversation in, one reply out. Faults of the network are waited out; what waiting does not cure is
said at once; an answer that holds no reply is an error of its own, so that it can be counted.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2

from groundup.errors import GroundupError, InputError, unknown
from groundup.evaluate.config import EndpointConfig
from groundup.language import N_
from groundup.sources.remote import RETRIED_STATUSES
from groundup.tokenizer.chat import Message

KEY_VARIABLE = "GROUNDUP_JUDGE_API_KEY"
COMPLETIONS = "/chat/completions"
# A busy server may ask for a longer wait than is ours, up to this.
LONGEST_WAIT_SECONDS = 60.0
DENIED = (401, 403)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class MalformedReplyError(GroundupError):
    """The server's answer holds no reply."""


class Endpoint:
    """A model on a server. Use it in an `async with`."""

    def __init__(self, url: str, config: EndpointConfig):
        self.url, self.config = base_url(url), config
        self.model = config.model or ""
        key = config.api_key or os.environ.get(KEY_VARIABLE)
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=config.timeout_seconds,
            trust_env=httpx2.URL(self.url).host not in THIS_MACHINE,  # no proxy leads back to us
        )

    async def __aenter__(self) -> "Endpoint":
        """Raises `InputError` where the key is refused, or no model is named and the server has not just
        one; `GroundupError` if the server cannot be reached."""
        try:
            names = await self.models()
            self.model = self.config.model or self._only(names)
        except BaseException:
            await self._client.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def request(self, messages: Sequence[Message]) -> dict[str, Any]:
        """What is sent for a conversation. Temperature 0: a judge is to say the same again, as far as
        its server lets it."""
        return {
            "model": self.model, "messages": list(messages), "temperature": 0,
            "max_tokens": self.config.max_tokens,
        }  # fmt: skip

    async def reply(self, request: dict[str, Any]) -> str:
        """The text that the model answers.

        Raises `InputError` for a key that is refused or a model that is not there, with the nearest
        name; `MalformedReplyError` if there is no text in the answer, however often it is asked for;
        `GroundupError` if the server cannot be reached.
        """
        address = self.url + COMPLETIONS
        response = await self._persistently(lambda: self._client.post(address, json=request), _text)
        if not response.is_success:
            raise await self._refusal(response)
        if (text := _text(response)) is None:
            raise MalformedReplyError(f"no reply in the answer: {response.text[:200]}", self.url)
        return text

    async def models(self) -> list[str]:
        """The names of the models that the server has; none where it does not tell."""
        response = await self._persistently(lambda: self._client.get(f"{self.url}/models"))
        if response.status_code in DENIED:
            raise await self._refusal(response)
        try:
            return [row["id"] for row in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            return []

    def _only(self, names: Sequence[str]) -> str:
        if len(names) == 1:
            return names[0]
        told = ", ".join(names) or N_("(it does not tell)")
        fix = N_(f"name one with --judge.model; it has: {told}")
        raise InputError("the server has not just one model", self.url, fix)

    async def _persistently(
        self,
        send: Callable[[], Awaitable[httpx2.Response]],
        content: Callable[[httpx2.Response], object] = lambda response: True,
    ) -> httpx2.Response:
        """The response to what `send` sends, sent again after longer and longer waits while the network
        fails, the server is busy, or the answer is without `content`."""
        reason, response = "", None
        for attempt in range(self.config.attempts):
            if attempt:
                await asyncio.sleep(self._wait(attempt, response))
            try:
                response = await send()
            except httpx2.TransportError as error:
                reason, response = f"{type(error).__name__} {error}".strip(), None
                continue
            is_failure = response.status_code in RETRIED_STATUSES
            if not is_failure and (content(response) or not response.is_success):
                return response
            reason = N_(f"it answers {_status(response)}")
        if response is not None and response.is_success:
            return response
        raise GroundupError(
            f"the judge's server fails, {self.config.attempts} times in a row: {reason}", self.url,
            "start the server, check its address and the network, then run again: what is judged "
            "already is kept",
        )  # fmt: skip

    def _wait(self, attempt: int, response: httpx2.Response | None) -> float:
        """Seconds until the next attempt: ours, or what a busy server asks for."""
        own = self.config.first_wait_seconds * 2 ** (attempt - 1)
        asked = "" if response is None else response.headers.get("Retry-After", "")
        return min(max(own, float(asked) if asked.isdecimal() else 0.0), LONGEST_WAIT_SECONDS)

    async def _refusal(self, response: httpx2.Response) -> InputError:
        """The error for an answer that waiting does not change."""
        fix = N_("check the address and the settings --judge.…")
        if response.status_code in DENIED:
            fix = N_(f"give the server's key in {KEY_VARIABLE}")
        elif response.status_code == 404:
            fix = N_("check the address: with most servers it ends in /v1")
            if (names := await self.models()) and self.model not in names:
                return unknown("model", self.model, names, self.url)
        elif response.has_redirect_location:
            fix = N_(f"give {response.headers['Location']} instead")
        return InputError(f"the judge's server answers {_status(response)}", self.url, fix)


def base_url(given: str) -> str:
    """The address before `/chat/completions`: as it was given, with /v1 behind a bare host. Raises
    `InputError` for what is none.

    >>> base_url("http://localhost:11434")
    'http://localhost:11434/v1'
    """
    url = given.rstrip("/").removesuffix(COMPLETIONS)
    if not _is_address(url):
        fix = N_("write it as http://localhost:11434/v1")
        raise InputError("not the address of a server", given, fix)
    return url if httpx2.URL(url).path.strip("/") else f"{url}/v1"


def _is_address(url: str) -> bool:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host) and not parsed.query


def _status(response: httpx2.Response) -> str:
    """The status, and what the server says beside it."""
    said = " ".join(response.text.split())[:200]
    return f"{response.status_code} {response.reason_phrase}".strip() + (
        f": {said}" if said else ""
    )


def _text(response: httpx2.Response) -> str | None:
    """The text of the first choice, None if the answer has another form or says nothing."""
    try:
        text = response.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return None
    return text if isinstance(text, str) and text.strip() else None
