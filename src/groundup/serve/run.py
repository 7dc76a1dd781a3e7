"""What the page asks for of the run that has made the model: the curves of its trainings, and what the
model said at each checkpoint that was kept.

A server knows no training: whoever starts it gives it the trainings (`groundup.recipe.trainings`).
"""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from groundup.generation.sampling import SamplingConfig
from groundup.serve.errors import ApiError
from groundup.serve.openai import Body, Text
from groundup.serve.served import Served, check_name
from groundup.serve.streaming import NO_CACHE, begun, events, in_thread
from groundup.serve.worker import BusyError
from groundup.settings import Seed

# As each of many checkpoints is to say as much.
MOST_NEW_TOKENS = 1000
router = APIRouter()


@runtime_checkable
class Training(Protocol):
    """One training of the run, under way or over."""

    @property
    def name(self) -> str: ...

    def description(self) -> dict[str, Any]:
        """Where it stands, and which checkpoints there are."""
        ...

    def told(self) -> dict[str, Any]:
        """What its log tells: curves and samples."""
        ...

    def retell(
        self, prompt: str, sampling: SamplingConfig, steps: Sequence[int] | None = None
    ) -> Generator[dict[str, Any], None, None]:
        """What the model says at each checkpoint, piece by piece."""
        ...


class RetellBody(Body):
    """`POST /v1/run/{training}/retell`"""

    model: str = ""
    prompt: Annotated[Text, Field(min_length=1)]
    steps: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Of which checkpoints (default: all)."""
    max_tokens: Annotated[int, Field(ge=1, le=MOST_NEW_TOKENS)] = 64
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    top_k: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    seed: Seed = 0
    """The same for every checkpoint."""
    stream: Literal[True] = True
    """The answer always is a stream."""

    def sampling(self) -> SamplingConfig:
        """The same settings for every checkpoint."""
        given = self.model_dump(exclude={"model", "prompt", "steps", "max_tokens", "stream"})
        return SamplingConfig(max_new_tokens=self.max_tokens, **given)


@router.get("/v1/run")
async def description(request: Request) -> dict[str, Any]:
    """The trainings of the model's run; none where it belongs to no run."""
    state = request.app.state
    told = [await asyncio.to_thread(each.description) for each in state.trainings.values()]
    return {"object": "run", "model": state.served.name, "trainings": told}


@router.get("/v1/run/{name}")
async def training(request: Request, name: str) -> dict[str, Any]:
    """The curves and samples of a training, as far as they go."""
    served: Served = request.app.state.served
    told = await asyncio.to_thread(_training(request, name).told)
    return {"object": "run.training", "model": served.name, "training": name} | told


@router.post("/v1/run/{name}/retell")
async def retell(request: Request, name: str, body: RetellBody) -> StreamingResponse:
    """What the model says after a prompt at each checkpoint, as a stream. It takes the memory of a second
    model, so one request at a time is answered."""
    state = request.app.state
    check_name(state.served, body.model)
    said = _training(request, name).retell(body.prompt, body.sampling(), body.steps)
    pieces = in_thread(said, _begin(state.retelling))
    stream = events(await begun(request, pieces))
    return StreamingResponse(stream, media_type="text/event-stream", headers=NO_CACHE)


def _begin(retelling: threading.Lock) -> Callable[[], None]:
    """Take the one place there is, and give what leaves it. Raises `BusyError` where it is taken."""
    if not retelling.acquire(blocking=False):
        raise BusyError("the checkpoints are being asked by somebody else", None, "try again later")
    return retelling.release


def _training(request: Request, name: str) -> Training:
    trainings = request.app.state.trainings
    if name not in trainings:
        known = ", ".join(trainings) or "the model belongs to no run"
        raise ApiError(404, f"there is no training {name!r}: {known}", "training")
    return trainings[name]
