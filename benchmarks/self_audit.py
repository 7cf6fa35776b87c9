"""The audit audited: does it reject models that remember, and accept models that never saw the forget set?

    python benchmarks/self_audit.py [--draws 40] [--retrained 4] [--references 128] [--out runs/self-audit]

The shipped images, training and test together, are split anew for every draw: 5,000 to train on, of which 500 are to be
forgotten, and 2,500 unseen. So forget and unseen samples are exchangeable, which is what p-values and intervals promise
something about; on one split alone, all forget sets would share the luck of its unseen samples. In every draw: an
original (it remembers), independent retrains (they never saw the forget set; each is judged against the others, and by
the references alone), a destroyed model (the original with noise on its weights) and an untrained one. The references
are one pool over all images, which serves every split; a draw takes 4, 8, 16, … of them, and draws take different ones
as long as there are.

Five parts: the verdicts; those with U-LiRA, for which the original is taken for the outcome of a method that changes
nothing (the shadows of such a method are the references themselves); the cheap screens; in half of the draws,
forget sets that 16 references chose as the most memorised, audited by these and by 16 others; and, in a quarter, seven
tenths of a class.

Models and verdicts are kept, so the command can be interrupted. Writes `benchmarks/results/self-audit.json` and the
tables of `docs/evaluation.md`. Verdicts of one draw go together: intervals count a draw once, however many retrains it
has, and uniformity is tested on one retrain of each draw.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import insert, provenance, save
from common import table as tabled
from draws import RECIPE, TASK, Case, Draw
from ground import Log
from scipy.stats import beta, kstest

from obliviate import workflow
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate, Pool, Shadows
from obliviate.audit.result import ModelAudit
from obliviate.data.sources import EMBEDDED, load
from obliviate.references.pool import ReferencePool
from obliviate.seeds import derive

COUNTS: Final = (4, 8, 16, 32, 64, 128)
WITH_SHADOWS: Final = (16, 64)
SCREEN: Final = 16  # references of the audits with screens, and that choose forget sets
RIGHT: Final = {
    "retrained": "consistent with retraining",
    "original": "leaks",
    "destroyed": "utility lost",
    "untrained": "utility lost",
}
CHOSEN: Final = (
    "retrained, chosen by these references",
    "references that chose",
    "other references",
    "retrained, part of a class",
    "references, part of a class",
)
SHOWN: Final = (4, 16, 128)  # references of the rows on the page
HEADS: Final = {
    "verdicts": [
        "compared with", "references", "margin", "retrains accepted", "originals rejected", "destroyed", "untrained",
    ],
    "attacks": [
        "compared with", "references", "attack", "power at 5 %", "false alarms at 5 %", "90 % intervals that hold 0",
        "uniform p (KS)", "mean difference of retrains",
    ],
    "chosen": [
        "compared with", "margin", "retrains accepted", "originals rejected", "RMIA's false alarms at 5 %",
        "mean difference of retrains (RMIA)",
    ],
    "screens": ["screen", "original", "retrained", "standard deviation of these", "original above all of them"],
}  # fmt: skip
FEWER: Final = {"memorised": 2, "class": 4}  # parts with fewer draws
PAGE: Final = Path(__file__).parents[1] / "docs" / "evaluation.md"
Entry = dict[str, Any]

# ---------------------------------------------------------------------------------------------- the parts


def verdicts(draw: Draw, pool: ReferencePool, retrained: int) -> Iterable[Entry]:
    """By more and more references, with retrained models at hand and by the references alone."""
    case = Case.of(draw, pool, retrained=retrained)
    for count in (one for one in COUNTS if one <= len(pool)):
        chosen = part_of(case, count)
        yield from judged("retrained", chosen, case, [case.original, *case.ruined, *case.retrained])
        yield from judged("references", chosen, case, [case.original, *case.ruined, *unlearned(case.retrained)])


def with_shadows(draw: Draw, pool: ReferencePool, retrained: int) -> Iterable[Entry]:
    """With U-LiRA, of the original and of each retrained model as if a method that changes nothing had made it."""
    case = Case.of(draw, pool, retrained=retrained)
    for count in (one for one in WITH_SHADOWS if one <= len(pool)):
        chosen = part_of(case, count)
        shadows = idle_shadows(case, chosen)
        again = replace(case.original, role="unlearned", name="original-again", shadows=shadows)
        alone = [replace(one, shadows=shadows) for one in unlearned(case.retrained)]
        asked = [again, *alone]
        found = [*judged("references, with U-LiRA", chosen, case, [case.original, *asked])]
        for one in asked:
            others = [other for other in case.retrained if other.name != one.name]
            found += judged("retrained, with U-LiRA", chosen, case, [case.original, one, *others])
        yield from (one for one in found if one["attacked"])


def screens(draw: Draw, pool: ReferencePool, retrained: int) -> Iterable[Entry]:
    """The cheap attacks on the original, on retrained models and on ruined ones."""
    case = Case.of(draw, pool, retrained=retrained)
    given = [case.original, *case.ruined, *case.retrained]
    yield from judged("screens", part_of(case, SCREEN), case, given, AuditSettings(screens=True))


def memorised(draw: Draw, pool: ReferencePool, retrained: int) -> Iterable[Entry]:
    """On forget sets that references chose: by these, and by others."""
    begin = 2 * SCREEN * (draw.number % (len(pool) // (2 * SCREEN)))
    middle = begin + SCREEN
    by = replace(pool, logits=pool.logits[begin:middle], included=pool.included[begin:middle])
    case = Case.chosen(draw, pool, by=by, retrained=retrained)
    same, others = (some(case, slice(one, one + SCREEN)) for one in (begin, middle))
    alone = [case.original, *unlearned(case.retrained)]
    yield from judged(CHOSEN[0], same, case, [case.original, *case.retrained])
    yield from judged(CHOSEN[1], same, case, alone)
    yield from judged(CHOSEN[2], others, case, alone)


def of_class(draw: Draw, pool: ReferencePool, retrained: int) -> Iterable[Entry]:
    """On a large part of a class: no reference went without it."""
    case = Case.of_class(draw, pool, retrained=retrained)
    chosen = part_of(case, SCREEN)
    yield from judged(CHOSEN[3], chosen, case, [case.original, *case.retrained])
    yield from judged(CHOSEN[4], chosen, case, [case.original, *unlearned(case.retrained)])


PARTS: Final[dict[str, Callable[[Draw, ReferencePool, int], Iterable[Entry]]]] = {
    "verdicts": verdicts,
    "U-LiRA": with_shadows,
    "screens": screens,
    "memorised": memorised,
    "class": of_class,
}


def part_of(case: Case, count: int) -> Pool:
    """So many references, others in every draw as long as there are."""
    begin = count * (case.draw.number % (len(case.evaluation.pool.logits) // count))
    return some(case, slice(begin, begin + count))


def some(case: Case, references: slice) -> Pool:
    """Some of the references."""
    pool = case.evaluation.pool
    return Pool(logits=pool.logits[references], included=pool.included[references])


def unlearned(retrained: Sequence[Candidate]) -> list[Candidate]:
    """Retrained models, as if a method had made them."""
    return [replace(one, role="unlearned") for one in retrained]


def idle_shadows(case: Case, pool: Pool) -> Shadows:
    """What a method that changes nothing makes of references: F and as many unseen samples, as they were."""
    games = case.evaluation.games
    generator = np.random.default_rng(derive(case.draw.number, "shadows"))
    index = np.concatenate([games.forget, generator.choice(games.unseen, len(games.forget), replace=False)])
    logits = [one[index] for one in pool.logits]
    forget = np.arange(len(index)) < len(games.forget)
    return Shadows(logits=logits, included=pool.included[:, index], index=index, forget=forget)


def judged(
    yardstick: str, pool: Pool, case: Case, given: Sequence[Candidate], settings: AuditSettings | None = None
) -> Iterable[Entry]:
    """One audit. Without retrained models at hand the original is: that is why its owner unlearns."""
    for found in audit(given, pool, case.evaluation.games, settings or AuditSettings()).models:
        yield entry(found, yardstick, len(pool.logits))


def entry(found: ModelAudit, yardstick: str, references: int) -> Entry:
    """What is kept of a verdict."""
    return {
        "name": found.name,
        "model": found.name.partition("-")[0],
        "references": references,
        "yardstick": yardstick,
        "verdict": found.verdict,
        "margin": found.margin,
        "differences": {name: one for name, one in found.difference.items() if name.startswith("ft_")},
        "test": found.difference["test_accuracy"],
        "attacked": "ulira" in found.attacks,
        "screens": {name: one["value"] for name, one in found.screens.items()},
    }


def examine(asked: tuple[str, int], folder: Path, *, references: int, retrained: int) -> list[Entry]:
    """One part on one draw, in a process of its own."""
    part, number = asked
    torch.set_num_threads(1)
    data = load(EMBEDDED)
    pool = workflow.load_references(
        RECIPE, data.train, data.test, TASK, folder=folder / "references", models=references
    )
    draw = Draw.of(number, train=data.train, test=data.test, folder=folder)
    return [one | {"draw": number} for one in PARTS[part](draw, pool, retrained)]


# ---------------------------------------------------------------------------------------------- the tables


def share(hits: Mapping[int, Sequence[bool]]) -> dict[str, float]:
    """A share in percent over all verdicts, with its 95 % interval (Clopper & Pearson 1934), a draw counted once."""
    draws, runs = len(hits), sum(map(len, hits.values()))
    rate = sum(map(sum, hits.values())) / runs
    right = rate * draws  # not a whole number, which the beta distribution does not mind
    low = float(beta.ppf(0.025, right, draws - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, draws - right)) if right < draws else 1.0
    return {"share": 100 * rate, "low": 100 * low, "high": 100 * high, "runs": runs, "draws": draws}


def by_draw(entries: Sequence[Entry], hit: Callable[[Entry], bool]) -> dict[int, list[bool]]:
    """Which entries of every draw are hits."""
    found: dict[int, list[bool]] = {}
    for one in entries:
        found.setdefault(one["draw"], []).append(hit(one))
    return found


def summary(entries: Sequence[Entry]) -> Entry:
    """How often verdicts and attacks were right, by yardstick and number of references."""
    table: Entry = {}
    for key in sorted({(one["yardstick"], one["references"]) for one in entries}):
        chosen = [one for one in entries if (one["yardstick"], one["references"]) == key]
        of = {model: [one for one in chosen if one["model"] == model] for model in RIGHT}
        rows: Entry = {model: of_model(model, found) for model, found in of.items() if found}
        for attack in of["original"][0]["differences"]:
            rows[attack] = of_attack(attack, leak=of["original"], null=of["retrained"])
        table[f"{key[0]}, {key[1]}"] = rows
    return table


def of_model(model: str, entries: Sequence[Entry]) -> Entry:
    """How often the verdict on such models was the right one, and what it was else."""
    names = sorted({one["verdict"] for one in entries})
    return {
        "right": share(by_draw(entries, lambda one: one["verdict"] == RIGHT[model])),
        "verdicts": {name: sum(one["verdict"] == name for one in entries) for name in names},
        "margin": float(np.median([one["margin"] for one in entries])),
    }


def of_attack(attack: str, *, leak: Sequence[Entry], null: Sequence[Entry]) -> Entry:
    """How one attack tells originals, and how its p-values and intervals are on retrained models."""

    def shared(entries: Sequence[Entry], hit: Callable[[Mapping[str, float]], bool]) -> dict[str, float]:
        return share(by_draw(entries, lambda one: hit(one["differences"][attack])))

    draws = sorted({one["draw"] for one in null})
    of = {draw: [one["differences"][attack] for one in null if one["draw"] == draw] for draw in draws}
    means = [np.mean([one["value"] for one in of[draw]]) for draw in draws]
    return {
        "power": shared(leak, lambda one: one["p_above"] < 0.05),
        "false_alarms": shared(null, lambda one: one["p_above"] < 0.05),
        "coverage_90": shared(null, lambda one: one["low"] <= 0 <= one["high"]),
        "uniform_p": float(kstest([of[draw][0]["p_above"] for draw in draws], "uniform").pvalue),
        "bias": float(np.mean(means)),
        "bias_error": float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None,
    }


def of_screens(entries: Sequence[Entry]) -> Entry:
    """What every screen says of originals and of retrained models, and how often the original is above all of these."""
    table: Entry = {}
    for screen in entries[0]["screens"] if entries else ():
        values: dict[str, dict[int, list[float]]] = {"original": {}, "retrained": {}}
        for one in entries:
            if one["model"] in values:
                values[one["model"]].setdefault(one["draw"], []).append(one["screens"][screen])
        above = {draw: [found[0] > max(values["retrained"][draw])] for draw, found in values["original"].items()}
        table[screen] = {
            **{name: float(np.mean([one for found in of.values() for one in found])) for name, of in values.items()},
            "spread": float(np.mean([np.std(found, ddof=1) for found in values["retrained"].values()])),
            "above": share(above),
        }
    return table


def pages(table: Entry, screened: Entry) -> dict[str, str]:
    """The tables of `docs/evaluation.md`, by the names of their marks; the JSON file has all rows."""
    by: dict[str, list[list[str]]] = {"verdicts": [], "attacks": [], "chosen": []}
    for key, rows in table.items():
        yardstick, count = key.rsplit(", ", 1)
        right = {model: told(rows[model]["right"]) for model in RIGHT if model in rows}
        margin = f"{rows['retrained']['margin']:.1f}"
        if yardstick in CHOSEN:
            rmia = rows["ft_rmia"]
            cells = [margin, right["retrained"], right["original"], told(rmia["false_alarms"]), biased(rmia)]
            by["chosen"].append([yardstick, *cells])
            continue
        by["verdicts"].append([yardstick, count, margin, *(right.get(model, "") for model in RIGHT)])
        attacks = [name for name in rows if name.startswith("ft_")]
        shown = [one for one in attacks if one == "ft_ulira"] or (attacks if int(count) in SHOWN else [])
        for attack in shown:
            one = rows[attack]
            shares = [told(one[name]) for name in ("power", "false_alarms", "coverage_90")]
            cells = [attack.removeprefix("ft_"), *shares, f"{one['uniform_p']:.2f}", biased(one)]
            by["attacks"].append([yardstick, count, *cells])
    by["screens"] = [
        [name, *(f"{one[key]:.1f}" for key in ("original", "retrained", "spread")), told(one["above"])]
        for name, one in screened.items()
    ]
    return {name: tabled(HEADS[name], lines) for name, lines in by.items()}


def biased(one: Mapping[str, float]) -> str:
    """The mean difference of retrained models with its standard error over draws, as a cell; none among themselves."""
    if abs(one["bias"]) < 1e-9:
        return ""
    return f"{one['bias']:+.2f}" + ("" if one["bias_error"] is None else f" ± {one['bias_error']:.2f}")


def told(found: Mapping[str, float]) -> str:
    """A share with its interval, as a cell."""
    return f"{found['share']:.0f} % ({found['low']:.0f}–{found['high']:.0f}; {found['runs']:.0f})"


def key(part: str, number: int) -> str:
    """Of a draw's verdicts in the log."""
    return f"{part}, draw {number}"


def main() -> None:
    """Make what is missing, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--retrained", type=int, default=4)
    parser.add_argument("--references", type=int, default=128, help="a power of 2, 32 or more")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/self-audit"))
    args = parser.parse_args()
    made_by = provenance(f"python benchmarks/self_audit.py --draws {args.draws} --references {args.references}")
    data = load(EMBEDDED)
    workflow.train_references(
        RECIPE, data.train, data.test, TASK,
        folder=args.out / "references", models=args.references, workers=args.workers,
    )  # fmt: skip
    log = Log(args.out / f"verdicts-{args.references}-{args.retrained}.jsonl")
    draws = {part: args.draws // FEWER.get(part, 1) for part in PARTS}
    wanted = [(part, number) for part, count in draws.items() for number in range(count)]
    todo = [one for one in wanted if key(*one) not in log.entries]
    work = partial(examine, folder=args.out, references=args.references, retrained=args.retrained)
    with ProcessPoolExecutor(args.workers or os.cpu_count(), mp_context=get_context("spawn")) as executor:
        for one, entries in zip(todo, executor.map(work, todo), strict=True):
            log.add(key(*one), {"commit": made_by["commit"], "entries": entries})
            print(f"{one[0]}: draw {one[1] + 1} of {draws[one[0]]}", flush=True)
    kept = [log.entries[key(*one)] for one in wanted]
    made_by["commit"] = ", ".join(dict.fromkeys(one["commit"] for one in kept))  # of every verdict
    found = [one for entries in kept for one in entries["entries"]]
    screened = of_screens([one for one in found if one["yardstick"] == "screens"])
    table = summary([one for one in found if one["yardstick"] != "screens"])
    facts = {"draws": draws, "retrained": args.retrained}
    save("self-audit", {**made_by, **facts, "table": table, "screens": screened})
    for name, text in pages(table, screened).items():
        insert(PAGE, name, text)
        print(text, end="\n\n")


if __name__ == "__main__":
    main()
