"""The server: OpenAI's paths over one model.

What a request asks for is checked (`openai.py`), asked of the model in its thread (`worker.py`), and
answered whole or as a stream (`answering.py`). Beside them are a web page (`page.py`) and what it asks
for: to look inside the model (`inside.py`), and at the run that has made it (`run.py`).
"""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from groundup.evaluate.prediction import predict
from groundup.generation.scheduler import Constraint
from groundup.generation.setup import set_up
from groundup.model.classifier import Classifier
from groundup.serve import forms, inside, openai, page, run, tools
from groundup.serve.access import Access, Admission
from groundup.serve.answering import Choice, choices, together
from groundup.serve.config import ServeConfig
from groundup.serve.errors import ApiError, handle_errors
from groundup.serve.metrics import Metrics
from groundup.serve.run import Training
from groundup.serve.served import Served, check_name, embed, language_model
from groundup.serve.streaming import NO_CACHE, begun, events, in_turn, unless_gone
from groundup.serve.worker import Worker


def create_app(served: Served, config: ServeConfig, trainings: Sequence[Training] = ()) -> FastAPI:
    """The app for one model, not yet listening; with the trainings of the run that the model belongs to,
    if it belongs to one. Raises `InputError` where a drafter does not go with the model."""
    metrics, admission = Metrics(), Admission(config.max_seconds)
    engine = None
    if not served.is_classifier:
        engine = set_up(served.model, served.tokenizer, config, config.max_batch)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        state.worker = Worker(engine, config.max_batch + config.max_queue)
        _add_gauges(metrics, state.worker)
        yield
        await asyncio.to_thread(state.worker.close)

    app = FastAPI(title="groundup", version="1", lifespan=life, docs_url=None, redoc_url=None)
    app.state.served, app.state.config, app.state.metrics = served, config, metrics
    app.state.admission = admission
    app.state.trainings = {training.name: training for training in trainings}
    app.state.retelling = threading.Lock()
    app.include_router(router)
    app.include_router(page.router)
    app.add_middleware(
        Access, api_key=config.api_key, most_bytes=config.max_request_bytes, metrics=metrics,
        admission=admission,
    )  # fmt: skip
    handle_errors(app)
    return app


router = APIRouter()
router.include_router(inside.router)
router.include_router(run.router)


@router.get("/health")
async def health() -> dict[str, str]:
    """The process is there."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Whether requests are taken on: no more from the moment on at which the server is told to stop."""
    is_ready = not request.app.state.admission.is_closing
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """The one model there is."""
    return {"object": "list", "data": [_model(request.app.state.served)]}


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> dict[str, Any]:
    """The one model there is, if it is this one."""
    served = request.app.state.served
    check_name(served, name)
    return _model(served)


@router.post("/v1/chat/completions")
async def chat_completions(request: Request, body: openai.ChatRequest) -> Response:
    """The next turn of a conversation."""
    served = language_model(request, body.model)
    if not served.tokenizer.knows_turns:
        raise ApiError(400, "this model knows no turns: use /v1/completions", "messages")
    prompt = await asyncio.to_thread(
        tools.encode, served.tokenizer, body.messages, body.usable_tools
    )
    constraints = await asyncio.to_thread(_constraints, served, body)

    def reader() -> tools.CallReader | None:
        only_first = body.parallel_tool_calls is False
        return tools.CallReader(only_first) if body.usable_tools else None

    asked = _ask(request, body, [prompt], body.top, "messages", constraints, reader)
    return await _answer(request, body, forms.ChatForm(body, served), asked)


@router.post("/v1/completions")
async def completions(request: Request, body: openai.CompletionRequest) -> Response:
    """What follows a text."""
    served = language_model(request, body.model)
    prompts = await asyncio.to_thread(_prompts, served, body)
    free, no_reader = [None] * body.n, lambda: None
    asked = _ask(request, body, prompts, body.top, "prompt", free, no_reader)
    return await _answer(request, body, forms.TextForm(body, served), asked)


@router.post("/v1/embeddings")
async def embeddings(request: Request, body: openai.EmbeddingRequest) -> dict[str, Any]:
    """Texts as directions: of texts that mean the like, they are alike."""
    served, worker = language_model(request, body.model), request.app.state.worker
    texts = [await asyncio.to_thread(_ids, served, text) for text in body.texts]

    async def vectors() -> list[np.ndarray]:
        """One order for each text, so that answers go on in between."""
        return [
            await worker.run(lambda ids=ids: embed(served.model, ids).cpu().numpy())
            for ids in texts
        ]

    rows = [
        {"object": "embedding", "index": number,
         "embedding": vector.tolist() if body.encoding_format == "float" else _base64(vector)}
        for number, vector in enumerate(await in_turn(request, vectors))
    ]  # fmt: skip
    tokens = sum(map(len, texts))
    return {"object": "list", "data": rows, "model": served.name, "usage": {
        "prompt_tokens": tokens, "total_tokens": tokens}}  # fmt: skip


@router.post("/v1/classify")
async def classify(request: Request, body: openai.ClassifyRequest) -> dict[str, Any]:
    """Which label belongs to each text."""
    served: Served = request.app.state.served
    check_name(served, body.model)
    classifier, worker = served.model, request.app.state.worker
    if not isinstance(classifier, Classifier):
        raise ApiError(400, "this is a language model: it has no labels to give", "model")
    if empty := [number for number, text in enumerate(body.texts) if not text.strip()]:
        raise ApiError(400, f"text {empty[0]} is empty", "input")

    async def rows() -> list[np.ndarray]:
        """One order for each text, so that others are answered in between."""
        return [
            await worker.run(lambda text=text: predict(classifier, served.tokenizer, [text])[0])
            for text in body.texts
        ]

    found = await in_turn(request, rows)
    data = [
        {"index": number, "label": served.labels[int(row.argmax())],
         "probs": dict(zip(served.labels, row.tolist(), strict=True))}
        for number, row in enumerate(found)
    ]  # fmt: skip
    return {"object": "list", "data": data, "model": served.name}


def _model(served: Served) -> dict[str, Any]:
    return {
        "id": served.name, "object": "model", "created": 0, "owned_by": "groundup",
        "max_model_len": served.model.config.context_length,
    }  # fmt: skip


def _prompts(served: Served, body: openai.CompletionRequest) -> list[list[int]]:
    """The token ids of one or several prompts."""
    return [_ids(served, prompt) for prompt in body.prompts]


def _ids(served: Served, given: str | list[int]) -> list[int]:
    """A text as token ids; it may be given as such."""
    return served.tokenizer.encode_prompt(given) if isinstance(given, str) else given


def _ask(
    request: Request,
    body: openai.Generation,
    prompts: list[list[int]],
    top: int | None,
    param: str,
    constraints: Sequence[Constraint | None],
    reader: Callable[[], tools.CallReader | None],
) -> list[Choice]:
    """Ask the model for all answers to a request; refused where a prompt leaves no room, or where so many
    answers never have a place."""
    state = request.app.state
    if (answers := len(prompts) * body.n) > state.worker.most:
        message = (
            f"{answers} answers are asked for; this server takes on {state.worker.most} at once"
        )
        raise ApiError(400, message, param)
    most = state.served.model.config.context_length
    for prompt in prompts:
        if not 0 < len(prompt) < most:
            message = f"the prompt has {len(prompt):,} tokens; this model takes 1 to {most - 1:,}"
            raise ApiError(400, message, param, "context_length_exceeded" if prompt else None)
    state.metrics.prompt_tokens.inc(sum(map(len, prompts)))
    return choices(
        body, prompts, state.served.tokenizer, state.worker, most, top, constraints, reader
    )


def _constraints(served: Served, body: openai.ChatRequest) -> Sequence[Constraint | None]:
    """What each of `n` answers must look like: a call that is required, or JSON of a schema. Raises
    `InputError` for a schema that cannot be followed."""
    answers = range(body.n)
    if body.required_tools:
        lark = tools.grammar(body.required_tools)
        return [served.grammars.grammar(lark, "tools") for _ in answers]
    schema = body.response_format and body.response_format.schema_of_answer
    if schema is None:
        return [None for _ in answers]
    return [served.grammars.json_schema(schema, "response_format") for _ in answers]


async def _answer(
    request: Request, body: openai.Generation, form: forms.Form, asked: list[Choice]
) -> Response:
    """Everything at once, or as it comes."""
    state = request.app.state
    pieces = together(asked, form.is_chat, state.metrics)
    if not body.stream:
        whole = await unless_gone(request, form.whole(pieces, asked))
        return JSONResponse(whole)
    stream = events(form.chunks(await begun(request, pieces), asked))
    return StreamingResponse(stream, media_type="text/event-stream", headers=NO_CACHE)


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _add_gauges(metrics: Metrics, worker: Worker) -> None:
    engine = worker.engine
    metrics.gauge("open_requests", "Requests that are running or waiting", lambda: worker.open)
    if engine is not None:
        metrics.gauge("running", "Requests in the batch", lambda: engine.running)
        metrics.gauge("waiting", "Requests in the queue", lambda: engine.waiting)
        metrics.gauge("free_blocks", "Free blocks of the cache", lambda: engine.free_blocks)
