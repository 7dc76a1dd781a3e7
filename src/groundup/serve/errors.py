"""What goes wrong, as OpenAI's servers say it: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from groundup.errors import GroundupError, InputError, nearest
from groundup.serve.openai import fields_of
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
        return response(_first_problem(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return response(ApiError(error.status_code, message), error.headers)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        return response(as_api_error(error))


def _first_problem(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a body, with the field's name and the nearest known one."""
    problem: dict[str, Any] = error.errors()[0]
    kind, place = problem["type"], [str(part) for part in problem["loc"][1:]]
    field = ".".join(place)
    if kind == "json_invalid":
        why = problem.get("ctx", {}).get("error", "")
        return ApiError(400, f"the body is not valid JSON: {why} at character {field}")
    if kind == "extra_forbidden":
        close = nearest(place[-1], fields_of(error.body))
        hint = f": did you mean {close!r}?" if close else ""
        return ApiError(400, f"unknown field {field!r}{hint}", field, "unknown_field")
    said = problem["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{field}: {said}" if field else said, field or None)
