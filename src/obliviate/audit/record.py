"""The audit of one record: its rank among unseen samples by every attack, on every model, and no verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.baseline import Pair
from obliviate.audit.controls import samples_for
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, check
from obliviate.audit.scored import Scored
from obliviate.audit.verdict import Margins
from obliviate.errors import AuditError
from obliviate.results.record import RecordAudit, RecordModel, RecordScore


def audit_record(
    candidates: Sequence[Candidate], pool: Pool, samples: AuditSamples, settings: AuditSettings
) -> RecordAudit:
    """Rank the one forget sample of `samples` among the unseen ones, by every attack, on every candidate.

    The rank of a score among those of unseen samples is a p-value whatever their distribution is (split conformal, Vovk
    et al. 2005). `settings` names the attacks, of which those by shadows are left out; its margins play no part.

    Raises AuditError for more than one forget sample, and as `audit.audit` does before any score is computed.
    """
    if len(samples.forget) != 1:
        raise AuditError(f"expected one record, got {len(samples.forget)}; use `audit` for several")
    check(candidates, pool, samples, least=1)
    settings.check_classes(has_classes=samples.labels is not None)
    attacks = FittedAttacks.of(settings, samples, pool)
    models = [_on(Scored.of(candidate, attacks, samples), attacks) for candidate in candidates]
    order = {"original": 0, "retrained": 1, "unlearned": 2}
    name = samples.forget[0] if samples.ids is None else samples.ids[samples.forget[0]]
    return RecordAudit(
        record=str(name),
        references=len(pool.logits),
        lead=attacks.lead,
        models=tuple(sorted(models, key=lambda model: order[model.role])),
        missing=missing(len(samples.unseen)),
    )


def missing(unseen: int) -> str:
    """What an audit with a verdict would need beside so many unseen samples, in a sentence.

    >>> missing(2500)
    'one record shows no rate of recognised ones, and ... about 144 forget samples would do'
    """
    margin = Margins().most
    wanted = samples_for(margin, unseen)
    needed = (
        f"more unseen samples than {unseen:,} are needed, with more forget samples"
        if wanted is None
        else f"about {wanted:,} forget samples would do"
    )
    return (
        f"one record shows no rate of recognised ones, and its p-value is no lower than {1 / (1 + unseen):.2g} beside "
        f"{unseen:,} unseen samples; for a verdict at a margin of {100 * margin:g} points of AUC {needed}"
    )


def _on(scored: Scored, attacks: FittedAttacks) -> RecordModel:
    candidate = scored.candidate
    correct = scored.correct["forget"]
    return RecordModel(
        name=candidate.name,
        role=candidate.role,
        method=candidate.method,
        weights_sha256=candidate.weights_sha256,
        correct=bool(correct[0]) if correct[0] in {0, 1} else None,
        scores=tuple(_ranked(name, pair) for name, pair in _pairs(scored, attacks)),
    )


def _pairs(scored: Scored, attacks: FittedAttacks) -> Iterator[tuple[str, Pair]]:
    """Scores of the record and of unseen samples by each attack, the leading one first."""
    for name in sorted(scored.scores, key=lambda name: name != attacks.lead):
        yield name, scored.pair(name)


def _ranked(attack: str, pair: Pair) -> RecordScore:
    (score,), unseen = pair
    rank = 1 + int(np.count_nonzero(unseen >= score))
    return RecordScore(attack=attack, score=float(score), rank=rank, unseen=len(unseen), p=rank / (1 + len(unseen)))
