"""The routes of the API: requests, what serves, certificates, audits, integrity, tokens, and what monitors read."""

# No `from __future__ import annotations`: FastAPI reads the annotations of what is nested.
import hashlib
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

import obliviate
from obliviate.project import Project
from obliviate.project.names import moment
from obliviate.project.webhooks import INCOMING, Secret
from obliviate.service import schemas
from obliviate.service.calls import API, DOCUMENT_POLICY, Service, TooOften, caller, described, require, service_of
from obliviate.service.tokens import NAME, Scope, Token

MOST: Final = 200
LARGEST: Final = 2**53

Number = Annotated[int, Path(ge=1, le=LARGEST, description="Number of a request.")]


def needs(scope: Scope) -> Any:
    """A dependency that refuses calls by tokens without a scope."""

    def check(request: Request) -> None:
        require(request.state.token, scope)

    return Depends(check)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: described(status) for status in statuses}


router: Final = APIRouter(
    prefix=API,
    dependencies=[Depends(HTTPBearer(auto_error=False))],
    responses=_refusals(400, 401, 403, 413, 422, 429, 503),
)
open_router: Final = APIRouter(responses=_refusals(413, 429, 503))


def submitted(project: Project, asked: schemas.Asked, key: str | None) -> dict[str, Any]:
    """Submit what is asked for (`schemas.Receipt`); names are taken as they are, never as names of files."""
    if asked.rule is not None:
        outcome = project.submit(asked.rule, key=key)
    elif asked.ids is not None:
        outcome = project.submit(asked.ids, key=key, unknown=asked.unknown)
    else:
        assert asked.owners is not None
        outcome = project.submit(asked.owners, key=key, unknown=asked.unknown, listed="owners")
    return outcome.facts


def existing(service: Service, number: int) -> int:
    """The number of a request; raises 404 where there is none."""
    if not service.facts.has(number):
        raise HTTPException(404, f"expected the number of a request, got {number}; GET {API}/requests lists them")
    return number


# ------------------------------------------------------------------------------------------- requests


@router.post("/requests", status_code=201, dependencies=[needs("submit")], responses=_refusals(409))
def submit_request(
    request: Request,
    response: Response,
    asked: schemas.Asked,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=200, description="Who sends it twice is given the first request.")
    ] = None,
) -> schemas.Receipt:
    """Ask for samples to be forgotten: 201 for a new request, 200 for one that was asked for before."""
    receipt = submitted(service_of(request).project, asked, idempotency_key)
    response.status_code = 201 if receipt["new"] else 200
    return schemas.Receipt(**receipt)


@router.get("/requests", dependencies=[needs("read")])
def list_requests(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many at most.")] = 50,
    before: Annotated[int | None, Query(ge=1, le=LARGEST, description="Only those with a smaller number.")] = None,
    state: schemas.State | None = None,
) -> schemas.Page:
    """List requests, the newest first."""
    return schemas.Page(**service_of(request).facts.requests(limit, before, state))


@router.get("/requests/{number}", dependencies=[needs("read")], responses=_refusals(404))
def show_request(request: Request, number: Number) -> schemas.RequestInFull:
    """Show a request and its history."""
    service = service_of(request)
    return schemas.RequestInFull(**service.facts.request(existing(service, number)))


@router.get("/due", dependencies=[needs("read")])
def list_due(request: Request, days: Annotated[float, Query(ge=0, le=36_500)] = 0.0) -> schemas.Due:
    """List the requests that are due within so many days and not done, the earliest first, 1,000 at most."""
    return schemas.Due(requests=[schemas.Request(**entry) for entry in service_of(request).project.due(days)])


@router.post("/retry", dependencies=[needs("admin")])
def retry_failed(request: Request) -> schemas.Retried:
    """Have what failed worked on again."""
    return schemas.Retried(requests=service_of(request).project.ledger.retry())


# ------------------------------------------------------------------------------------------- what there is to show


@router.get("/status", dependencies=[needs("read")])
def show_status(request: Request) -> schemas.Status:
    """Tell how the project stands, and how far the worker is."""
    return schemas.Status(**service_of(request).facts.status())


@router.get("/serving", dependencies=[needs("read")])
def show_serving(request: Request) -> schemas.Serving:
    """Tell which model serves, which served before, and which done requests it still knows."""
    return schemas.Serving(**service_of(request).facts.serving())


@router.get(
    "/requests/{number}/certificate",
    dependencies=[needs("read")],
    responses={**_refusals(404), 200: {"model": schemas.Certificate}},
)
def get_certificate(request: Request, number: Number) -> Response:
    """Get the certificate of a request, byte for byte as it was signed."""
    service = service_of(request)
    content = service.facts.certificate(existing(service, number))
    if content is None:
        raise HTTPException(
            404, f"expected a certificate of request {number}, got none; it comes when the request is done"
        )
    name = service.project.certificate(number).name
    return Response(
        content, media_type="application/json", headers={"content-disposition": f'attachment; filename="{name}"'}
    )


@router.get(
    "/requests/{number}/report", dependencies=[needs("read")], responses=_refusals(404), response_class=HTMLResponse
)
def get_report(request: Request, number: Number) -> Response:
    """Get the report of the audit of a request's model, without names of samples."""
    service = service_of(request)
    return document(service.facts.report(existing(service, number)), f"an audit of request {number}")


def document(page: str | None, what: str) -> Response:
    """A page that stands alone; raises 404 where there is none."""
    if page is None:
        raise HTTPException(404, f"expected {what}, got none; not every request has one")
    return HTMLResponse(page, headers={"content-security-policy": DOCUMENT_POLICY})


@router.get("/integrity", dependencies=[needs("read")])
def check_integrity(request: Request) -> schemas.Integrity:
    """Check the ledger, the model that serves and all certificates; one check serves all who ask for half a minute."""
    return schemas.Integrity(**service_of(request).facts.integrity())


# ------------------------------------------------------------------------------------------- tokens


@router.get("/tokens", dependencies=[needs("admin")])
def list_tokens(request: Request) -> schemas.TokenList:
    """List the tokens, without their texts."""
    return schemas.TokenList(tokens=[_token(token) for token in service_of(request).tokens.all])


@router.delete("/tokens/{name}", dependencies=[needs("admin")], responses=_refusals(404))
def revoke_token(
    request: Request, name: Annotated[str, Path(max_length=64, pattern=f"^{NAME.pattern}$")]
) -> schemas.TokenFacts:
    """Revoke a token: from the next call on it opens nothing. New ones are made on the machine alone."""
    tokens = service_of(request).tokens
    if not any(token.name == name for token in tokens.usable):
        raise HTTPException(404, f"expected the name of a token, got another; GET {API}/tokens lists them")
    return _token(tokens.revoke(name))


def _token(token: Token) -> schemas.TokenFacts:
    revoked = None if token.revoked is None else moment(token.revoked)
    return schemas.TokenFacts(
        name=token.name, scopes=list(token.scopes), created=moment(token.created), revoked=revoked
    )


# ------------------------------------------------------------------------------------------- webhooks and monitors


@open_router.post(
    f"{API}/webhooks/requests",
    status_code=201,
    responses=_refusals(400, 401, 409, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas.Notice.model_json_schema()}},
        }
    },
)
async def receive_request(
    request: Request,
    response: Response,
    webhook_id: Annotated[str, Header(max_length=200)] = "",
    webhook_timestamp: Annotated[str, Header(max_length=20)] = "",
    webhook_signature: Annotated[str, Header(max_length=2000)] = "",
) -> schemas.Receipt:
    """Take a request from a platform that signs it; the id of the message is its key, so that it may come twice."""
    service, body = service_of(request), await request.body()
    path = service.project.keys / INCOMING
    headers = {
        "webhook-id": webhook_id, "webhook-timestamp": webhook_timestamp, "webhook-signature": webhook_signature
    }  # fmt: skip
    if not webhook_id or not path.exists() or not Secret.read(path).is_signed(body, headers, now=time.time()):
        if wait := service.failures.wait(caller(request)):
            raise TooOften(wait)
        raise HTTPException(
            401, "expected a message signed by the secret of this project, got another; check the secret"
        )
    try:
        notice = schemas.Notice.model_validate_json(body)
    except ValidationError as error:
        places = sorted({".".join(map(str, problem["loc"])) for problem in error.errors()})
        raise HTTPException(
            422,
            f"expected what the OpenAPI description says, got another value of {', '.join(places)[:300]}; correct it",
        ) from None
    key = "webhook " + hashlib.sha256(webhook_id.encode("utf-8", "replace")).hexdigest()
    receipt = await run_in_threadpool(submitted, service.project, notice.data, key)
    response.status_code = 201 if receipt["new"] else 200
    return schemas.Receipt(**receipt)


@open_router.get("/health")
def check_health(request: Request) -> schemas.Health:
    """Tell whether the service and its ledger answer."""
    _ = service_of(request).project.ledger.head
    return schemas.Health(status="ok", version=obliviate.__version__)


@router.get("/metrics", dependencies=[needs("read")], response_class=PlainTextResponse)
def show_metrics(request: Request) -> Response:
    """Figures of the project and of the service, as Prometheus reads them."""
    service = service_of(request)
    with service.lock:
        answered = sorted(service.answered.items())
    lines = ["# HELP obliviate_calls_total Calls that were answered.", "# TYPE obliviate_calls_total counter"]
    lines += [
        f'obliviate_calls_total{{method="{method}",route="{route}",status="{status}"}} {count}'
        for (method, route, status), count in answered
    ]
    text = service.facts.metrics() + "\n".join(lines) + "\n"
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
