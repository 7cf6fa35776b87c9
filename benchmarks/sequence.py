"""Five requests of 2 % in a row on one model, as in AMUN's paper, on the embedded data.

    OMP_NUM_THREADS=1 python benchmarks/sequence.py [--model-seeds 0,1,2] [--out runs/sequence]

Every request begins from the model that the last one left. AMUN-A searches its adversarial examples on that model; the
plain variant re-uses those that were found on the first one. Fine-tuning stands beside them, and the original as it
was. After each request two models are trained afresh without everything that was forgotten so far, and every model is
compared with them (a retrained one with the other: the floor): on all samples that were forgotten so far, and on those
of the last request alone. A recording store counts how many ids of earlier requests a request reads.

References are trained for the first model and serve the others. Models that are dear to make are kept in `<out>`, and
figures are appended to `<out>/figures.jsonl` as they are made, so that the command can be interrupted. Writes
`benchmarks/results/sequence.json` and the tables of `docs/sequences.md`: mean (least–greatest) over the models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import insert, provenance, save, spread, table
from ground import Ground, Log, figures, key_of

from obliviate._util.seeds import derive
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.data.sources import EMBEDDED
from obliviate.data.split import Split
from obliviate.methods.amun import AMUN, adversarial_examples
from obliviate.methods.base import Method
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.testing import recorded
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Ids
from obliviate.workflow import Evaluation, Session, TrainedModel

REQUESTS: Final = 5
SHARE: Final = 0.02
FORGET_SEED: Final = 4001
RETRAINED: Final = 2
PAGE: Final = Path(__file__).parents[1] / "docs" / "sequences.md"
Rows = list[dict[str, Any]]


def drawn(ids: Ids, seed: int) -> list[Ids]:
    """The ids of every request: random, disjoint, and of one size."""
    generator = np.random.default_rng(derive(FORGET_SEED, "sequence", seed))
    return np.split(generator.choice(ids, size=REQUESTS * round(SHARE * len(ids)), replace=False), REQUESTS)


class Judged:
    """What models are compared with after one request."""

    def __init__(self, ground: Ground, requests: Sequence[Ids]) -> None:
        self.ground, self.step = ground, len(requests)
        data, so_far = ground.data, np.concatenate(requests)
        self.whole = Split.of(data.train, forget=so_far, holdout=data.holdout)
        last = replace(self.whole, forget=data.train.select(requests[-1]))
        self.all, self.last = (
            Evaluation.of(ground.workspace.experiment, split, ground.pool) for split in (self.whole, last)
        )
        self.retrained = [
            self._retrained(derive(ground.seed, "afresh", self.step, number)) for number in range(RETRAINED)
        ]

    def of(self, *models: TrainedModel) -> list[dict[str, Any]]:
        """The figures of each model, those on the last request alone under `last_`; the retrained ones come after."""
        settings = AuditSettings()

        def audit(evaluation: Evaluation) -> Rows:
            asked: list[Candidate] = [evaluation.candidate(model) for model in (*models, *self.retrained)]
            return [figures(result) for result in evaluation.audit(asked, settings).models]

        return [
            {key: row[key] for key in ("forget", "retain", "test", "ft_auc", "average_gap")}
            | {f"last_{key}": last[key] for key in ("forget", "ft_auc", "average_gap")}
            for row, last in zip(audit(self.all), audit(self.last), strict=True)
        ]

    def _retrained(self, seed: int) -> TrainedModel:
        make = partial(self.ground.unlearn, Retrain(), self.whole, seed=seed)
        path = self.ground.folder / f"request-{self.step}" / f"retrained-{seed}.safetensors"
        return self.ground.bench.kept(path, self.whole.kept, make)


def chain(ground: Ground, judged: Sequence[Judged], requests: Sequence[Ids], method: Method, *, retain: bool) -> Rows:
    """The figures after each request, and how many ids of earlier requests were read."""
    session, rows = Session.of(ground.original, ground.data.train, holdout=ground.data.holdout), []
    for ids, yardstick in zip(requests, judged, strict=True):
        earlier = set(session.forgotten.tolist())
        train, read = recorded(ground.data.train)
        watched = replace(session, history=replace(session.history, trained=train))
        unlearned = watched.forget(ids, method, seed=ground.seed, retain=retain).trained
        reads = {"read_again": len(read() & earlier), "read": len(read())}
        session = Session(unlearned, session.history.after(ids))
        rows.append({**yardstick.of(replace(unlearned, name="made"))[0], **reads})
    return rows


def measure(ground: Ground, log: Log) -> dict[str, list[Rows]]:
    """Every chain on one model: a row for each request, of the retrained models as many as there are."""
    requests = drawn(ground.data.train.ids, ground.seed)
    judged = [Judged(ground, requests[: step + 1]) for step in range(REQUESTS)]
    wanted = ground.data.train.select(np.concatenate(requests))
    first = adversarial_examples(ground.original.model, wanted, Run(ground.task, seed=ground.seed))
    chains: dict[str, tuple[Method, bool]] = {
        "AMUN-A": (AMUN(), True),
        "AMUN, first examples": (AMUN(examples=first), True),
        "fine_tune": (FineTune(), True),
        "AMUN-A, no D_R": (AMUN(), False),
        "AMUN, first examples, no D_R": (AMUN(examples=first), False),
    }
    by_name: dict[str, list[Rows]] = {}
    key = key_of(ground.seed, ground.original.seed, "yardsticks")
    if key not in log.entries:
        every = [judge.of(ground.original) for judge in judged]
        log.add(key, {"original": [rows[:1] for rows in every], "retrained": [rows[1:] for rows in every]})
    by_name |= {name: log.entries[key][name] for name in ("original", "retrained")}
    for name, (method, retain) in chains.items():
        key = key_of(ground.seed, name, repr(method), retain)
        if key not in log.entries:
            rows = chain(ground, judged, requests, method, retain=retain)
            log.add(key, {"name": name, "model": ground.seed, "rows": rows})
            print(name, ground.seed, [f"{row['average_gap']:.2f}" for row in rows], flush=True)
        by_name[name] = [[row] for row in log.entries[key]["rows"]]
    return by_name


def summary(chains: Sequence[dict[str, list[Rows]]]) -> dict[str, Any]:
    """The spread of every figure after each request, and how the average gap grows from the first to the last."""
    content: dict[str, Any] = {}
    for name in chains[0]:
        steps = [[row for chain in chains for row in chain[name][step]] for step in range(REQUESTS)]
        content[name] = {
            "after_each_request": [
                {
                    key: {part: round(value, 3) for part, value in spread([row[key] for row in rows]).items()}
                    for key in rows[0]
                    if key not in ("read", "read_again")
                }
                for rows in steps
            ]
        }
        for prefix in ("", "last_"):
            first, last = ([row[f"{prefix}average_gap"] for row in steps[step]] for step in (0, -1))
            content[name][f"{prefix}growth"] = {
                "of_means": round(sum(last) / sum(first), 3),
                "by_model": [round(b / a, 3) for a, b in zip(first, last, strict=True)],
            }
        if "read_again" in steps[0][0]:
            content[name]["read_again"] = sum(row["read_again"] for rows in steps for row in rows)
    return content


def cell(figure: dict[str, float], digits: int) -> str:
    """Mean, least and greatest."""
    return f"{figure['mean']:.{digits}f} ({figure['min']:.{digits}f}–{figure['max']:.{digits}f})"


def gaps(content: dict[str, Any], prefix: str) -> str:
    """A line a chain: the average gap after each request, and the growth."""
    lines = []
    for name, chain in content.items():
        steps = [cell(row[f"{prefix}average_gap"], 2) for row in chain["after_each_request"]]
        growth = chain[f"{prefix}growth"]
        by_model = "" if name == "retrained" else f" ({min(growth['by_model']):.2f}–{max(growth['by_model']):.2f})"
        lines.append([name, *steps, f"{growth['of_means']:.2f}{by_model}"])
    return table(["model", *(f"after {step + 1}" for step in range(REQUESTS)), "fifth ÷ first"], lines)


def ends(content: dict[str, Any]) -> str:
    """A line a chain: the other figures after the first and after the last request."""
    keys = {
        "forget %": "forget",
        "retain %": "retain",
        "test %": "test",
        "FT-AUC": "ft_auc",
        "of the last": "last_ft_auc",
    }
    lines = []
    for name, chain in content.items():
        first, last = chain["after_each_request"][0], chain["after_each_request"][-1]
        cells = [f"{first[key]['mean']:.1f} → {cell(last[key], 1)}" for key in keys.values()]
        lines.append([name, *cells, str(chain.get("read_again", ""))])
    return table(["model", *keys, "ids read again"], lines)


def main() -> None:
    """Run every chain on every model and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("runs/sequence"))
    parser.add_argument("--workers", type=int, help="processes that train references; one a core if left out")
    arguments = parser.parse_args()

    log, pool, measured = Log(arguments.out / "figures.jsonl"), None, []
    for seed in (int(number) for number in arguments.model_seeds.split(",")):
        shared_pool: ReferencePool | None = pool
        ground = Ground(
            arguments.out / f"model-{seed}",
            source=EMBEDDED,
            recipe=Recipe(),
            seed=seed,
            workers=arguments.workers,
            pool=shared_pool,
        )
        pool = ground.pool
        measured.append(measure(ground, log))
    content = summary(measured)
    sections = {"all": gaps(content, ""), "last": gaps(content, "last_"), "figures": ends(content)}
    command = f"python benchmarks/sequence.py --model-seeds {arguments.model_seeds}"
    circumstances = {**provenance(command), "requests": REQUESTS, "share": SHARE, "forget_seed": FORGET_SEED}
    for name, text in sections.items():
        print(f"\n{name}\n\n{text}")
        insert(PAGE, name, text)
    print(save("sequence", {**circumstances, "recipe": Recipe().to_dict(), "chains": content}))


if __name__ == "__main__":
    main()
