"""What goes wrong, as OpenAI's servers say it: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Mapping
from typing import Any, get_type_hints

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from groundup.errors import GroundupError, InputError, nearest
from groundup.serve.openai import Body, fields_of
from groundup.serve.worker import BusyError

RETRY_SECONDS = 1
KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error",
    413: "invalid_request_error", 429: "rate_limit_error", 503: "server_error", 504: "server_error",
}  # fmt: skip


class ApiError(Exception):
    """Something that the caller is told, with the HTTP status."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


def error_body(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict:
    """The JSON object of an error."""
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(error: ApiError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as what goes over the wire."""
    body = error_body(error.status, error.message, error.param, error.code)
    return JSONResponse(body, error.status, dict(headers or {}))


def as_api_error(error: Exception) -> ApiError:
    """What the caller is told of an error; of a bug of ours only that there is one."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BusyError):
        return ApiError(429, str(error.what), code="queue_full")
    if isinstance(error, InputError):
        fix = f" ({error.fix})" if error.fix else ""
        return ApiError(400, f"{error.what}{fix}", error.where)
    if isinstance(error, GroundupError):
        return ApiError(503, error.what)
    return ApiError(500, "the server failed at this request; its log says how")


def handle_errors(app: FastAPI) -> None:
    """Let `app` answer every error in this form."""

    @app.exception_handler(ApiError)
    @app.exception_handler(GroundupError)
    async def known(request: Request, error: Exception) -> JSONResponse:
        told = as_api_error(error)
        return response(told, {"Retry-After": str(RETRY_SECONDS)} if told.status == 429 else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return response(
            _worst_problem(error, get_type_hints(request.scope["endpoint"]).get("body"))
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return response(ApiError(error.status_code, message), error.headers)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        return response(as_api_error(error))


def _worst_problem(error: RequestValidationError, kind: type[Body] | None) -> ApiError:
    """The first thing that is wrong with a body of this kind, by the field's name. Where the field may
    be one of several things, it is what comes nearest to one of them."""
    problems = [(_place(problem, error.body), problem) for problem in error.errors()]
    first = problems[0][0]
    alike = [problem for problem in problems if problem[0][: len(first)] == first]
    place, problem = max(alike, key=lambda each: len(each[0]))
    field = ".".join(place)
    if problem["type"] == "json_invalid":
        why, at = problem.get("ctx", {}).get("error", ""), problem["loc"][-1]
        return ApiError(400, f"the body is not valid JSON: {why} at character {at}")
    if problem["type"] == "extra_forbidden":
        close = nearest(place[-1], fields_of(kind, len(place) > 1)) if kind else None
        hint = f": did you mean {close!r}?" if close else ""
        return ApiError(400, f"unknown field {field!r}{hint}", field, "unknown_field")
    if problem["type"] == "missing" and not place and kind:
        needed = [name for name, info in kind.model_fields.items() if info.is_required()]
        return ApiError(400, f"the body is empty: {needed[0]} is required", needed[0])
    said = problem["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{field}: {said}" if field else said, field or None)


def _place(problem: dict[str, Any], body: Any) -> list[str]:
    """Where in the body something is wrong, or missing: pydantic's place without the names that it gives
    to what a field may be."""
    place, here = [], body
    _, *parts = problem["loc"]
    for number, part in enumerate(parts, start=1):
        is_there = part in here if isinstance(here, dict) else isinstance(here, list)
        if is_there and isinstance(part, str if isinstance(here, dict) else int):
            here = here[part]
            place.append(str(part))
        elif number == len(parts) and problem["type"] == "missing":
            place.append(str(part))
    return place
