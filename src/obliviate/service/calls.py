"""What every call to the service shares: the project, who calls and what they may, and what refusals look like."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request
from starlette.exceptions import HTTPException

from obliviate.project import Project
from obliviate.service.facts import Facts
from obliviate.service.limits import RateLimit
from obliviate.service.schemas import Problem
from obliviate.service.sessions import Sessions
from obliviate.service.tokens import Scope, Token, Tokens

DOCUMENT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""Of pages that stand alone, with their styles in them: nothing is loaded, and nothing runs."""
API: Final = "/api/v1"
UNSIGNED: Final = frozenset({f"{API}/webhooks/requests"})
"""Calls of the API that are vouched for by a signature instead of a token."""
PER_MINUTE: Final = 10.0
"""Calls a minute with a token that is none, from one address; others of that address are answered."""


@dataclass(frozen=True, eq=False)
class Service:
    """What every call needs: the project, what is known of it, who may call and how often."""

    project: Project
    facts: Facts
    tokens: Tokens
    sessions: Sessions
    calls: RateLimit
    failures: RateLimit
    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    lock: AbstractContextManager[Any] = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, project: Project) -> Service:
        """The service of a project; raises LedgerError and ProjectError where it cannot be opened."""
        _ = project.ledger.head
        return cls(
            project,
            Facts(project),
            Tokens(project.keys),
            Sessions.at(project.keys),
            RateLimit(project.config.rate),
            RateLimit(min(PER_MINUTE, project.config.rate)),
        )

    def count(self, method: str, route: str, status: int) -> None:
        """Count an answer, by the pattern of its route."""
        with self.lock:
            self.answered[method, route, status] += 1


class TooOften(HTTPException):
    """A caller asks more often than is answered."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            429,
            f"expected fewer calls, got too many in a minute; wait {seconds:.0f} s",
            {"retry-after": str(int(seconds) + 1)},
        )


def service_of(request: Request) -> Service:
    """The service that a call is to."""
    return request.app.state.service


def caller(request: Request) -> str:
    """The address that a call comes from."""
    return request.client.host if request.client else "unknown"


def bearer(request: Request) -> Token:
    """The token of a call to the API; raises 401 where none is known, and 429 where it calls too often."""
    service = service_of(request)
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    token = service.tokens.find(text.strip()) if kind.lower() == "bearer" else None
    if token is None:
        if wait := service.failures.wait(caller(request)):
            raise TooOften(wait)
        raise HTTPException(
            401,
            "expected a token, got none that is known; send Authorization: Bearer TOKEN",
            {"www-authenticate": "Bearer"},
        )
    if wait := service.calls.wait(token.id):
        raise TooOften(wait)
    return token


def require(token: Token, scope: Scope) -> None:
    """Refuse a token that may not do something, with 403."""
    if not token.may(scope):
        raise HTTPException(
            403, f"expected a token with the scope {scope}, got one with {', '.join(token.scopes)}; use another"
        )


def described(status: int) -> dict[str, Any]:
    """How an answer that refuses stands in the OpenAPI description."""
    words = {
        400: "What was sent cannot be read.",
        401: "No token, one that is not known, or one that was revoked.",
        403: "The token lacks the scope.",
        404: "There is no such thing.",
        409: "It contradicts what is there.",
        413: "More was sent than is taken at once.",
        422: "What was sent is not as described.",
        429: "Too many calls; Retry-After says how long to wait.",
        503: "The project cannot be read or written just now.",
    }
    return {"model": Problem, "description": words[status]}
