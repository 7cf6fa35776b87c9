"""The commands of a project: begin one, ask for something to be forgotten, work on it, serve, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Json
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress
from obliviate.errors import CertificateError, ProjectError

Folder = Annotated[Path, Parameter(name="--project", help="Folder with an obliviate.toml.")]
HERE = Path()


@app.command
def init(
    *,
    project: Folder = HERE,
    data: Annotated[
        str | None, Parameter(help="Where the data are, for a new obliviate.toml; as for `obliviate train`.")
    ] = None,
    model: Annotated[str | None, Parameter(help="Architecture, or module:function of your own.")] = None,
    owner: Annotated[str | None, Parameter(help="The column that tells whose a sample is.")] = None,
    method: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="A method to try, in the order given; retraining is always the last."),
    ] = (),
    json_: Json = False,
) -> None:
    """Begin a project: write obliviate.toml, make keys and a ledger, enter the samples of the data by pseudonyms."""
    from obliviate.project import Project
    from obliviate.worker import index

    begun = Project.create(project, source=data, model=model, owner=owner, methods=method)
    workspace = index(begun)
    facts = {
        "project": str(project),
        "train": len(workspace.data.train),
        "ledger": "ledger.db" if begun.config.url == "sqlite" else begun.config.url.partition("@")[2],
        "key": str(begun.keys / "signing.pub"),
    }
    if json_:
        print_line(json.dumps(facts))
        return
    print_line(f"{project}: {facts['train']:,} training samples are known by pseudonyms; ledger {facts['ledger']}")
    print_line(f"keep {begun.keys} apart from the ledger, and give {facts['key']} to whoever checks certificates")
    print_line("now `obliviate work` trains the model and serves it; `obliviate submit` asks it to forget")


@app.command
def submit(
    forget: Annotated[
        str,
        Parameter(
            help="What to forget: ids with commas between them, @FILE, owner:NAME, owner:@FILE, or a rule such as "
            "class:7 or where:CONDITION (docs/forget.md)."
        ),
    ],
    *,
    project: Folder = HERE,
    key: Annotated[
        str | None, Parameter(help="A key of your own: who submits it twice is given the first request.")
    ] = None,
    unknown: Annotated[
        Literal["refuse", "skip"], Parameter(help="What becomes of names that the data do not have.")
    ] = "refuse",
    json_: Json = False,
) -> None:
    """Ask for something to be forgotten; it is done by `obliviate work`."""
    from obliviate.project import Project

    submitted = Project.open(project).submit(forget, key=key, unknown=unknown)
    if json_:
        names = [{"asked": name, "status": status} for name, status in submitted.names]
        print_line(json.dumps(submitted.facts | {"names": names}))
        return
    receipt = submitted.receipt
    if submitted.names:
        print_line(", ".join(f"{status} {count:,}" for status, count in submitted.counts.items()))
        for name, status in submitted.names:
            if status not in {"found", "duplicate"}:
                print_line(f"  {name}: {status}")
    if receipt.forgotten:
        print_line(f"nothing is left to do: request {receipt.request} was for it, and is done")
    else:
        print_line(f"request {receipt.request}: {receipt.state}" + ("" if receipt.new else ", asked for before"))


@app.command
def work(
    *,
    project: Folder = HERE,
    once: Annotated[bool, Parameter(negative="", help="Do one batch and end.")] = False,
    forever: Annotated[bool, Parameter(negative="", help="Look again every few seconds, until interrupted.")] = False,
    retry: Annotated[bool, Parameter(negative="", help="Take up again what failed.")] = False,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Unlearn, audit, certify and serve what was asked for, batch by batch, each exactly once."""
    from obliviate.project import Project
    from obliviate.worker import work as run

    if once and forever:
        raise ProjectError("expected --once or --forever, got both; leave out one")
    with compute.used(), progress(quiet=json_) as show_progress:
        opened = Project.open(project)
        if retry:
            opened.ledger.retry()
        batches = run(opened, most=1 if once else None, forever=forever, progress=show_progress)
    status = opened.status(most=0)
    if json_:
        print_line(json.dumps({"batches": batches, **status}))
        return
    print_line(f"batches done: {', '.join(map(str, batches)) or 'none'}; {_totals(status)}")


def print_project_status(folder: Path, *, due_only: bool, json_: bool) -> None:
    """Tell how a project stands, or what is due in it."""
    from obliviate.project import Project

    opened = Project.open(folder)
    if due_only:
        due(project=folder, json_=json_)
        return
    facts = opened.status()
    if json_:
        print_line(json.dumps(facts))
        return
    print_line(_totals(facts))
    served = facts["served"]
    print_line("serves: " + ("nothing yet; run `obliviate work`" if served is None else served["model"]))
    for batch in facts["running"]:
        print_line(f"batch {batch['batch']}: worked on by {batch['worker'] or 'nobody, it waits for a worker'}")
    if facts["unserved"]:
        print_line(f"done, but known to the model that serves: requests {', '.join(map(str, facts['unserved']))}")
    for name, words in (("due", "due and not done"), ("soon", "due soon")):
        if facts[name]:
            print_line(f"{words}: requests {', '.join(map(str, facts[name]))}")
    for request in facts["latest"]:
        print_line(_request(request))


def _totals(facts: dict[str, Any]) -> str:
    return "requests: " + ", ".join(f"{count:,} {state}" for state, count in facts["requests"].items())


def _request(request: dict[str, Any]) -> str:
    counts = ", ".join(f"{status} {count:,}" for status, count in request["counts"].items())
    when = f"due {request['due']} (in {request['days_left']:g} days)"
    return f"request {request['number']}: {request['state']}, {request['kind']} {counts}; {when}".replace(" ;", ";")


@app.command
def due(
    *,
    project: Folder = HERE,
    days: Annotated[float, Parameter(help="Also what is due within so many days.")] = 0.0,
    json_: Json = False,
) -> None:
    """List the requests that are due and not done; exit code 3 if there are any, for a monitor to see."""
    from obliviate.project import Project

    requests = Project.open(project).due(days)
    if json_:
        print_line(json.dumps(requests))
    else:
        for request in requests:
            print_line(_request(request))
        if not requests:
            print_line("nothing is due")
    if requests:
        raise SystemExit(3)


@app.command
def promote(
    model: Annotated[str, Parameter(help="Id of a model that was audited, or the beginning of it.")],
    *,
    project: Folder = HERE,
) -> None:
    """Serve another model of the project."""
    from obliviate.project import Project

    opened = Project.open(project)
    served = opened.promote(model)
    _say_served(served.model, opened.ledger.done_after(served.batch))


@app.command
def rollback(*, project: Folder = HERE) -> None:
    """Serve the model that served before, and tell which requests it has not forgotten."""
    from obliviate.project import Project

    served, unserved = Project.open(project).rollback()
    _say_served(served.model, unserved)


def _say_served(model: str, unserved: list[int]) -> None:
    print_line(f"serves: {model}")
    if unserved:
        print_line(
            f"note: requests {', '.join(map(str, unserved))} are done, but this model still knows what they were for"
        )


@app.command
def verify(
    certificate: Annotated[
        Path | None, Parameter(help="A certificate; left out, the whole project is verified.")
    ] = None,
    *,
    weights: Annotated[Path | None, Parameter(help="The file of weights that it must be about.")] = None,
    key: Annotated[Path | None, Parameter(help="The public key (PEM) of whoever issued it.")] = None,
    model_signature: Annotated[
        Path | None, Parameter(help="A signature of the weights by OpenSSF Model Signing, to be checked too.")
    ] = None,
    model_key: Annotated[Path | None, Parameter(help="The public key (PEM) that belongs to that signature.")] = None,
    project: Folder = HERE,
    json_: Json = False,
) -> None:
    """Check a certificate, or the ledger, the model that serves and all certificates of a project."""
    from obliviate.certificate.keys import import_signers

    import_signers()
    if certificate is None:
        if any(path is not None for path in (weights, key, model_signature, model_key)):
            raise CertificateError("expected a certificate to check with --weights and --key, got none; name its file")
        from obliviate.project import Project

        facts = Project.open(project).verify()
        text = (
            f"verified: {facts['events']:,} entries of the ledger, {facts['requests']:,} requests, "
            f"{facts['certificates']:,} certificates, and the model that serves"
        )
        print_line(json.dumps(facts) if json_ else text)
        return
    from obliviate.certificate import verify as check
    from obliviate.certificate.model_signature import verify_model

    if key is None:
        raise CertificateError("expected the public key of whoever issued it, got none; name it with --key")
    if (model_signature is None) != (model_key is None) or (model_signature is not None and weights is None):
        raise CertificateError(
            "expected --model-signature with --model-key and --weights, got one without the others; name all three"
        )
    checked = check(certificate, key=key, weights=weights)
    if model_signature is not None and model_key is not None and weights is not None:
        verify_model(weights, signature=model_signature, key=model_key)
    predicate = checked.predicate
    judgement = predicate["judgement"]
    facts = {
        "request": predicate["request"]["number"],
        "verdict": judgement["verdict"],
        "exact": judgement["exact"],
        "weights": weights is not None,
        "model_signature": model_signature is not None,
        "key": checked.key_id,
    }
    if json_:
        print_line(json.dumps(facts))
        return
    print_line(
        f"verified: request {facts['request']}, {facts['verdict']}" + (", made by retraining" if facts["exact"] else "")
    )
    print_line(judgement["reason"])
    if model_signature is not None:
        print_line("the weights are those that the signature of the model is of")
    if weights is None:
        print_line("note: the weights were not looked at; name their file with --weights")


@app.command
def keys(
    *,
    project: Folder = HERE,
    rotate: Annotated[
        bool, Parameter(negative="", help="Sign with a new key from now on; the old public key is retired.")
    ] = False,
    json_: Json = False,
) -> None:
    """Tell which key certificates are signed by, and which ones signed before; or make a new one."""
    from obliviate.certificate import SigningKey
    from obliviate.project import Project

    opened = Project.open(project)
    if rotate:
        opened.rotate()
    key = SigningKey.read(opened.keys)
    facts = {"key": key.id, "public": str(key.public), "retired": [str(path) for path in key.retired]}
    if json_:
        print_line(json.dumps(facts))
        return
    print_line(f"signs with key {key.id[:16]}…, which {key.public} checks")
    for path in key.retired:
        print_line(f"retired: {path}")
