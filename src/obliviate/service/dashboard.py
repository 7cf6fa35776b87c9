"""The dashboard: pages of a project for people, with nothing on them that names anybody."""

# No `from __future__ import annotations`: FastAPI reads the annotations.
import hmac
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from obliviate.errors import DataError
from obliviate.service import schemas
from obliviate.service.api import LARGEST, Number, document, existing, get_certificate, submitted
from obliviate.service.calls import TooOften, caller, require, service_of
from obliviate.service.sessions import COOKIE, HOURS
from obliviate.service.tokens import Scope, Token

STATIC: Final = {
    "htmx.min.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
ROWS: Final = 25
STOP_POLLING: Final = 286  # by which htmx asks no more

router: Final = APIRouter(include_in_schema=False)


class SignedOut(HTTPException):
    """Nobody is signed in; `problem_page` shows the way."""

    def __init__(self) -> None:
        super().__init__(401, "expected somebody who is signed in, got nobody; sign in with a token")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("obliviate.service", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(day=lambda text: text[:10], minute=lambda text: f"{text[:10]} {text[11:16]}", left=left)
    return environment


def left(days: float) -> str:
    """How long until something is due, in words.

    >>> left(11.6), left(0.3), left(-2.1)
    ('in 12 days', 'in 7 hours', '2 days late')
    """
    late = days < 0
    hours = abs(days) * 24
    count, unit = (round(hours / 24), "day") if hours >= 36 else (max(1, round(hours)), "hour")
    length = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{length} late" if late else f"in {length}"


def page(request: Request, name: str, code: int = 200, **facts: Any) -> HTMLResponse:
    """A page made of a template."""
    who: Token | None = getattr(request.state, "token", None)
    shared = {"who": who, "csrf": getattr(request.state, "csrf", ""), "path": request.url.path}
    return HTMLResponse(_environment().get_template(f"{name}.html.j2").render(shared | facts), code)


def problem_page(request: Request, status: int, detail: str, headers: dict[str, str]) -> Response:
    """A page that says what went wrong; for who is not signed in, the one to sign in."""
    if status == 401:
        if request.headers.get("hx-request"):
            return Response(status_code=401, headers={"hx-redirect": "/signin"})
        return RedirectResponse("/signin", 303)
    titles = {403: "Not yours to see", 404: "Not here", 429: "Too many calls"}
    response = page(request, "problem", status, title=titles.get(status, "That did not work"), detail=detail)
    response.headers.update(headers)
    return response


def enter(request: Request, scope: Scope | None = "read") -> Token:
    """Who is signed in; raises 401, 403 for who may not, and 429 for who calls too often."""
    service = service_of(request)
    session = service.sessions.read(request.cookies.get(COOKIE, ""))
    token = None if session is None else service.tokens.of_id(session.token)
    if session is None or token is None:
        raise SignedOut
    request.state.token, request.state.csrf = token, session.csrf
    if wait := service.calls.wait(f"session {token.id}"):
        raise TooOften(wait)
    if scope is not None:
        require(token, scope)
    return token


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, which must come from a page of ours; raises 403 for another's.

    Browsers say from where a form comes; besides, a form of who is signed in holds what only our pages know.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "expected a form of this dashboard, got one of another site; open the dashboard")
    try:
        text = (await request.body()).decode()
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise HTTPException(422, "expected a form, got something else; send it from its page") from None
    return {name: values[-1] for name, values in fields.items()}


async def checked_form(request: Request, scope: Scope | None) -> dict[str, str]:
    """The fields of a form of who is signed in and may send it."""
    enter(request, scope)
    form = await form_of(request)
    if not hmac.compare_digest(form.get("csrf", "").encode(), request.state.csrf.encode()):
        raise HTTPException(403, "expected a form of this session, got another; reload its page")
    return form


# ------------------------------------------------------------------------------------------- signing in


@router.get("/signin")
def show_sign_in(request: Request) -> Response:
    """The page to sign in."""
    return page(request, "signin", problem="")


@router.post("/signin")
async def sign_in(request: Request) -> Response:
    """Begin a session for who has a token."""
    service, form = service_of(request), await form_of(request)
    token = service.tokens.find(form.get("token", "").strip())
    if token is None:
        if wait := service.failures.wait(caller(request)):
            raise TooOften(wait)
        return page(request, "signin", 422, problem="This token is not known, or was revoked.")
    response = RedirectResponse("/" if token.may("read") else "/submit", 303)
    response.set_cookie(
        COOKIE,
        service.sessions.begin(token.id),
        max_age=HOURS * 3600,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/signout")
async def sign_out(request: Request) -> Response:
    """End the session in this browser."""
    await checked_form(request, None)
    response = RedirectResponse("/signin", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


# ------------------------------------------------------------------------------------------- pages


@router.get("/")
def show_overview(
    request: Request,
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    state: schemas.State | None = None,
) -> Response:
    """What is asked, due, worked on and served."""
    return _overview(request, "overview", before, state)


@router.get("/parts/overview")
def refresh_overview(
    request: Request,
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    state: schemas.State | None = None,
) -> Response:
    """What of the overview changes while the worker works."""
    return _overview(request, "overview_live", before, state)


def _overview(request: Request, template: str, before: int | None, state: schemas.State | None) -> Response:
    enter(request)
    facts = service_of(request).facts
    listed = facts.requests(ROWS, before, state)
    return page(request, template, status=facts.status(), listed=listed, before=before, state=state)


@router.get("/requests/{number}")
def show_request(request: Request, number: Number) -> Response:
    """A request, its history, and what there is on it."""
    enter(request)
    service = service_of(request)
    facts = service.facts.request(existing(service, number))
    return page(request, "request", asked=facts, stage=service.facts.stage())


@router.get("/parts/requests/{number}")
def refresh_request(request: Request, number: Number) -> Response:
    """What of a request changes; after its end, nothing does."""
    enter(request)
    service = service_of(request)
    facts = service.facts.request(existing(service, number))
    status = STOP_POLLING if facts["state"] == "done" else 200
    return page(request, "request_live", status, asked=facts, stage=service.facts.stage())


@router.get("/requests/{number}/certificate")
def show_certificate(request: Request, number: Number) -> Response:
    """The page of a certificate, whose signature was checked."""
    enter(request)
    service = service_of(request)
    return document(service.facts.certificate_page(existing(service, number)), f"a certificate of request {number}")


@router.get("/requests/{number}/certificate.json")
def download_certificate(request: Request, number: Number) -> Response:
    """The file of a certificate."""
    enter(request)
    return get_certificate(request, number)


@router.get("/requests/{number}/report")
def show_report(request: Request, number: Number) -> Response:
    """The report of an audit, without names of samples."""
    enter(request)
    service = service_of(request)
    return document(service.facts.report(existing(service, number)), f"an audit of request {number}")


@router.get("/serving")
def show_serving(request: Request) -> Response:
    """What serves, and what served."""
    enter(request)
    return page(request, "serving", serving=service_of(request).facts.serving())


@router.get("/integrity")
def show_integrity(request: Request, check: bool = False) -> Response:
    """Whether all is as it was written, where that is asked for."""
    enter(request)
    return page(request, "integrity", integrity=service_of(request).facts.integrity() if check else None)


@router.get("/parts/integrity")
def refresh_integrity(request: Request) -> Response:
    """The outcome of a check."""
    enter(request)
    return page(request, "integrity_live", integrity=service_of(request).facts.integrity())


# ------------------------------------------------------------------------------------------- what changes something


@router.get("/submit")
def show_form(request: Request) -> Response:
    """The form for a request."""
    enter(request, "submit")
    return page(request, "submit", problem="", receipt=None, kind="ids", unknown="refuse")


@router.post("/submit")
async def submit(request: Request) -> Response:
    """Submit a request; what was typed is not shown again, for it names people."""
    form = await checked_form(request, "submit")
    kind, unknown = form.get("kind", ""), form.get("unknown", "refuse")
    lines = [line.strip() for line in form.get("what", "").splitlines() if line.strip()]
    problem, receipt = "", None
    try:
        asked = schemas.Asked.model_validate(
            {"rule": "\n".join(lines), "unknown": unknown} if kind == "rule" else {kind: lines, "unknown": unknown}
        )
        receipt = await run_in_threadpool(submitted, service_of(request).project, asked, None)
    except DataError:
        problem = "Some of these names are not in the data. Nothing was entered: correct them, or have them skipped."
    except ValidationError:
        problem = "Expected one name a line, or one rule. Nothing was entered: correct it."
    status = 422 if problem else 201
    return page(request, "submit", status, problem=problem, receipt=receipt, kind=kind, unknown=unknown)


@router.post("/retry")
async def retry(request: Request) -> Response:
    """Have what failed worked on again."""
    await checked_form(request, "admin")
    await run_in_threadpool(service_of(request).project.ledger.retry)
    return RedirectResponse("/", 303)


@router.get("/static/{name}")
def get_static(name: Annotated[str, Path(max_length=40)]) -> Response:
    """A file that pages are made with; those that are listed, and no others."""
    if name not in STATIC:
        raise HTTPException(404, "expected a file of the dashboard, got another name; correct it")
    content = (files("obliviate.service") / "static" / name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={"cache-control": "public, max-age=3600"})
