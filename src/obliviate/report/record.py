"""The page and the text of an audit of one record."""

from __future__ import annotations

from html import escape
from typing import Final

from obliviate.results.record import RecordAudit

HEADS: Final = ("model", "right", "rank", "p-value")
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;border-bottom:1px solid #d5dae0;"
    "text-align:left}td+td+td{text-align:right}"
)
MEANING: Final = (
    "A rank is the place of the record among unseen samples by how much an attack takes each for a member, and the "
    "p-value how likely so high a place would be by chance. A low one says that the model still knows the record; a "
    "high one does not show that it was forgotten. Retrained models, which never saw it, say what to expect."
)


def rows(audit: RecordAudit, attack: str) -> list[tuple[str, ...]]:
    """A row a model under `HEADS`, of one attack.

    >>> from obliviate.results.record import RecordModel, RecordScore
    >>> score = RecordScore(attack="rmia", score=2, rank=1, unseen=99, p=0.01)
    >>> model = RecordModel(
    ...     name="original", role="original", method="train", weights_sha256=None, correct=True, scores=(score,)
    ... )
    >>> rows(RecordAudit(record="a", references=16, lead="rmia", models=(model,), missing="more"), "rmia")
    [('original', 'yes', '1 of 100', '0.01')]
    """
    words = {True: "yes", False: "no", None: "–"}
    lines = []
    for model in audit.models:
        for score in model.scores:
            if score.attack == attack:
                place = f"{score.rank:,} of {score.unseen + 1:,}"
                lines.append((model.name, words[model.correct], place, f"{score.p:.2g}"))
    return lines


def attacks(audit: RecordAudit) -> list[str]:
    """The names of all attacks, the leading one first."""
    return list(dict.fromkeys(score.attack for model in audit.models for score in model.scores))


def verdict(audit: RecordAudit) -> str:
    """The verdict and what is missing, in a sentence."""
    return f"{audit.verdict[0].upper()}{audit.verdict[1:]}: {audit.missing}."


def render(audit: RecordAudit) -> str:
    """The report as one HTML page, without a script or a request; equal results give equal bytes."""
    tables = []
    for attack in attacks(audit):
        head = "".join(f"<th>{escape(name)}</th>" for name in HEADS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows(audit, attack)
        )
        tables.append(
            f"<h2>{escape(attack)}</h2>\n<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>\n"
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Audit of one record</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>Audit of one record</h1>\n"
        f"<p>Record <code>{escape(audit.record)}</code>, beside {audit.references:,} reference models.</p>\n"
        f"<p><strong>{escape(verdict(audit))}</strong></p>\n<p>{escape(MEANING)}</p>\n{''.join(tables)}</body></html>\n"
    )
