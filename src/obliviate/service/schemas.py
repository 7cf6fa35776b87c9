"""What the API takes and answers, as its OpenAPI description says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from obliviate.project.names import PLAIN_RULES, RULES

State = Literal["pending", "running", "done", "failed"]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Names = Annotated[list[Name], Field(min_length=1, max_length=10_000)]


class Asked(BaseModel):
    """What to forget: the ids of samples, the names of owners, or a rule; exactly one of them."""

    model_config = ConfigDict(extra="forbid")

    ids: Names | None = Field(None, description="Ids of training samples.")
    owners: Names | None = Field(None, description="Owners, of whom every training sample is forgotten.")
    rule: Annotated[str, Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="A rule, such as `class:7` or `where:CONDITION`; the worker follows it."
    )
    unknown: Literal["refuse", "skip"] = Field("refuse", description="What becomes of names that the data do not have.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Asked:
        given = [name for name in ("ids", "owners", "rule") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of ids, owners and rule, got {', '.join(given) or 'none'}; give one")
        if self.rule is not None and not (self.rule.startswith(RULES) or self.rule in PLAIN_RULES):
            raise ValueError(f"expected a rule that begins with {', '.join(RULES)}, got another text; correct it")
        return self


class Notice(BaseModel):
    """What a platform for requests of data subjects sends, signed (https://www.standardwebhooks.com)."""

    type: Literal["request.created"]
    data: Asked


class Receipt(BaseModel):
    """What became of a submission."""

    request: int = Field(description="Number of the request.")
    state: State
    new: bool = Field(description="False where the same was asked for before.")
    forgotten: bool = Field(description="Whether an earlier request did all of it already.")
    counts: dict[str, int] = Field(description="How many names were asked, found, unknown, and of another status.")


class Request(BaseModel):
    """A request, without anybody's name."""

    number: int
    state: State
    kind: Literal["ids", "owners", "rule"]
    counts: dict[str, int]
    submitted: str = Field(description="ISO 8601, UTC.")
    due: str = Field(description="ISO 8601, UTC.")
    days_left: float = Field(description="Until it is due; less than 0 where that is over.")
    batch: int | None = Field(description="The batch that it is done in.")


class Page(BaseModel):
    """Requests, the newest first."""

    requests: list[Request]
    next: int | None = Field(description="What `before` is to be for the next page; null on the last.")


class Step(BaseModel):
    """What happened to a request."""

    entry: int = Field(description="Number of the entry of the ledger.")
    time: str
    kind: str
    sha256: str


class RequestInFull(Request):
    """A request with its history and what there is on it."""

    history: list[Step]
    certificate: bool = Field(description="Whether it has a certificate.")
    report: bool = Field(description="Whether an audit of its model can be shown.")
    reason: str | None = Field(description="Why it failed: the kind of the error.")


class Due(BaseModel):
    """Requests that are due and not done, the earliest first."""

    requests: list[Request]


class Model(BaseModel):
    """A model that serves, or served."""

    model: str
    file: str = Field(description="As seen from the project's folder.")
    file_sha256: str
    weights_sha256: str
    batch: int = Field(description="The last batch that it has forgotten, 0 for none.")
    event: int = Field(description="Number of the entry of the ledger.")


class Serving(BaseModel):
    """The model that serves, those of before, and what it still knows though it is done."""

    served: Model | None
    before: list[Model]
    unserved: list[int] = Field(
        description="Requests that are done, and that the model which serves has not forgotten."
    )


class Stage(BaseModel):
    """How far the worker is."""

    stage: str
    percent: int
    time: str


class Status(BaseModel):
    """How the project stands."""

    requests: dict[State, int]
    due: list[int]
    soon: list[int]
    running: list[int] = Field(description="Batches that are worked on.")
    stage: Stage | None
    served: str | None = Field(description="Id of the model that serves.")
    events: int = Field(description="Entries of the ledger.")


class Integrity(BaseModel):
    """Whether the ledger, the model that serves and all certificates are as they were written."""

    intact: bool
    problem: str | None
    events: int
    certificates: int
    time: str = Field(description="When it was checked, ISO 8601, UTC.")


class Health(BaseModel):
    """Whether the service and its ledger answer."""

    status: Literal["ok"]
    version: str


class Retried(BaseModel):
    """Requests that failed, and are worked on again."""

    requests: list[int]


class TokenFacts(BaseModel):
    """A token, without its text."""

    name: str
    scopes: list[Literal["read", "submit", "admin"]]
    created: str
    revoked: str | None


class TokenList(BaseModel):
    """All tokens."""

    tokens: list[TokenFacts]


class Problem(BaseModel):
    """What went wrong: expected X, got Y; do Z."""

    detail: str


class Certificate(BaseModel):
    """A certificate in its envelope; to check it, take the bytes as they are."""

    model_config = ConfigDict(extra="allow")

    payload: str
    payloadType: str
    signatures: list[dict[str, JsonValue]]
