"""The service of a project as an ASGI application: what surrounds every call, and how errors are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import obliviate
from obliviate.errors import DataError, KeyTakenError, ObliviateError, ProjectError
from obliviate.project import Project
from obliviate.service import api, dashboard
from obliviate.service.calls import API, UNSIGNED, Service, TooOften, bearer, caller, service_of
from obliviate.service.limits import BodyLimit
from obliviate.service.sessions import COOKIE

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def create_app(folder: Path) -> FastAPI:
    """The application for the project in a folder.

    Raises ProjectError and LedgerError where there is no project, or one that cannot be opened.
    """
    service = Service.of(Project.open(folder))
    app = FastAPI(
        title="obliviate",
        version=obliviate.__version__,
        description="Have a model forget training samples: submit requests, see how they stand, get certificates.",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        redirect_slashes=False,
    )
    app.state.service = service
    app.middleware("http")(_guard)
    app.add_middleware(BodyLimit, most=service.project.config.body)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ObliviateError, _failed)
    app.include_router(api.router)
    app.include_router(api.open_router)
    app.include_router(dashboard.router)
    return app


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Know who calls before anything of the call is read, and say to browsers what they may do with the answer."""
    service, path = service_of(request), request.url.path
    try:
        if path.startswith(f"{API}/") and path not in UNSIGNED and path != f"{API}/openapi.json":
            request.state.token = bearer(request)
        elif (wait := _wait_of_anybody(service, request)) > 0:
            raise TooOften(wait)
        response = await call_next(request)
    except HTTPException as error:
        response = await _refused(request, error)
    except ObliviateError as error:
        response = await _failed(request, error)
    except UnicodeError:  # of a path or a cookie that no text is written by
        response = JSONResponse({"detail": "expected a path in UTF-8, got other bytes; correct it"}, 400)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    route = request.scope.get("route")
    method = request.method if request.method in METHODS else "other"
    service.count(method, getattr(route, "path", "none"), response.status_code)
    return response


def _wait_of_anybody(service: Service, request: Request) -> float:
    """How long a call without a token has to wait, by its address; those who are signed in are counted elsewhere."""
    if request.url.path.startswith("/static/") or service.sessions.read(request.cookies.get(COOKIE, "")) is not None:
        return 0.0
    return service.calls.wait(caller(request))


def is_of_dashboard(request: Request) -> bool:
    """Whether a person is to read the answer."""
    return not request.url.path.startswith(("/api/", "/health", "/metrics", "/static/"))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if is_of_dashboard(request):
        return dashboard.problem_page(request, error.status_code, str(error.detail), dict(error.headers or {}))
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """Say what of a call is not as described; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    places = {".".join(str(part) for part in problem["loc"]): str(problem["msg"]) for problem in error.errors()[:10]}
    listed = "; ".join(f"{place[:80]}: {text[:300]}" for place, text in places.items())
    detail = f"expected what the OpenAPI description says, got {listed}; correct it"
    detail = detail.encode("utf-8", "replace").decode()
    return await _refused(request, HTTPException(422, detail))


async def _failed(request: Request, error: Exception) -> Response:
    """Tell an error of ours: what the caller can mend as 409 and 422, what only the operator can as 503."""
    assert isinstance(error, ObliviateError)
    status = 409 if isinstance(error, KeyTakenError | ProjectError) else 422 if isinstance(error, DataError) else 503
    return await _refused(request, HTTPException(status, service_of(request).facts.cleaned(error)))
