"""The printable page of a certificate: all that it says, in words and tables, and how to check it."""

from __future__ import annotations

from pathlib import Path

from obliviate._util.files import write_atomically
from obliviate.certificate.envelope import Certificate

SHOWN = 200  # keyed hashes on the page; the file has all


def render(certificate: Certificate, *, name: str) -> str:
    """The page, which asks for nothing outside itself; `name` is that of the certificate's file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("obliviate.certificate", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("certificate.html.j2")
    subject = certificate.statement["subject"][0]
    return template.render(c=certificate.predicate, subject=subject, key_id=certificate.key_id, name=name, shown=SHOWN)


def write(path: Path, certificate: Certificate, *, name: str) -> None:
    """Write the page to a file."""
    text = render(certificate, name=name)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
