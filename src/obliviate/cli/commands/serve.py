"""The commands of the service: serve a project, make and revoke tokens, show the secrets of webhooks."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Json
from obliviate.cli.commands.project import HERE, Folder
from obliviate.cli.printing.console import print_line
from obliviate.errors import ProjectError

Port = Annotated[int, Parameter(help="Port to listen at; 0 for any that is free.")]


@app.command
def serve(
    *,
    project: Folder = HERE,
    host: Annotated[
        str, Parameter(help="Address to listen at; others reach the service only if you name one here.")
    ] = "127.0.0.1",
    port: Port = 8000,
    with_worker: Annotated[bool, Parameter(negative="", help="Run a worker beside it, as `work --forever`.")] = False,
) -> None:
    """Serve the API and the dashboard of a project, until interrupted."""
    from obliviate.service.serve import check
    from obliviate.service.serve import serve as run

    tokens = check(project, host, port)
    where = f"[{host}]" if ":" in host else host
    print_line(f"dashboard http://{where}:{port}/, API http://{where}:{port}/api/v1/openapi.json")
    if not tokens:
        print_line("note: there is no token yet; make one with `obliviate tokens --create NAME --scope read`")
    run(project, host=host, port=port, with_worker=with_worker)


@app.command
def tokens(
    *,
    project: Folder = HERE,
    create: Annotated[str | None, Parameter(help="Make a token of this name; it is shown this once.")] = None,
    scope: Annotated[
        tuple[Literal["read", "submit", "admin"], ...], Parameter(negative="", help="What it may; may be repeated.")
    ] = (),
    revoke: Annotated[str | None, Parameter(help="Have the token of this name open nothing any more.")] = None,
    json_: Json = False,
) -> None:
    """List the tokens that open the service, make one, or revoke one."""
    from obliviate.project import Project
    from obliviate.project.names import moment
    from obliviate.service.tokens import Tokens

    if create is not None and revoke is not None:
        raise ProjectError("expected --create or --revoke, got both; leave out one")
    if scope and create is None:
        raise ProjectError("expected --scope with --create, got it alone; name the new token")
    known = Tokens(Project.open(project).keys)
    if create is not None:
        text = known.create(create, scope)
        print_line(json.dumps({"name": create, "scopes": scope, "token": text}) if json_ else text)
        return
    if revoke is not None:
        known.revoke(revoke)
        print_line(json.dumps({"revoked": revoke}) if json_ else f"revoked: {revoke}")
        return
    if json_:
        print_line(json.dumps([{"name": token.name, "scopes": token.scopes} for token in known.usable]))
        return
    for token in known.all:
        state = "" if token.revoked is None else f", revoked {moment(token.revoked)}"
        print_line(f"{token.name}: {', '.join(token.scopes)}, made {moment(token.created)}{state}")
    if not known.all:
        print_line("no tokens")


@app.command
def webhooks(*, project: Folder = HERE, json_: Json = False) -> None:
    """Show the secrets that webhooks are signed by, for the other side; they are made where there are none."""
    from obliviate.project import Project
    from obliviate.project.webhooks import INCOMING, OUTGOING, Secret

    keys = Project.open(project).keys
    secrets = {"incoming": str(Secret.create(keys / INCOMING)), "outgoing": str(Secret.create(keys / OUTGOING))}
    if json_:
        print_line(json.dumps(secrets))
        return
    print_line(f"of messages to the service: {secrets['incoming']}")
    print_line(f"of messages by the worker:  {secrets['outgoing']}")
