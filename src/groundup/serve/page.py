"""The web page: files of the folder `page`, as they are. Everything that it shows it asks of the API."""

from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}  # fmt: skip
HEADERS = {
    # Nothing from elsewhere, no script but the page's own files: so nothing that a model or a user
    # writes can run, nor leave for another host.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# They are small, and a name that is not among them leads nowhere.
FILES = {
    file.name: file.read_bytes()
    for file in files("groundup.serve").joinpath("page").iterdir()
    if PurePath(file.name).suffix in TYPES
}
router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(request: Request) -> Response:
    """The page, which is told whether it has to ask for a key."""
    content = FILES["index.html"]
    if request.app.state.config.api_key:
        content = content.replace(b"<body>", b"<body data-needs-key>")
    return Response(content, headers=HEADERS, media_type=TYPES[".html"])


@router.get("/page/{name}")
async def file(name: str) -> Response:
    """A script, a style, a picture of the page."""
    if name not in FILES:
        raise HTTPException(404)
    return Response(FILES[name], headers=HEADERS, media_type=TYPES[PurePath(name).suffix])
