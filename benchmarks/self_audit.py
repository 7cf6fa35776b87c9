"""The audit audited: does it reject models that remember or are ruined, and accept those that never saw the forget set?

    python benchmarks/self_audit.py --data FOLDER [--grounds images,texts] [--out runs/self-audit]

Five grounds (`draws.GROUNDS`): the shipped images; rows of Adult with 12 % and with 2 % positives; the shipped images
in 100 classes of few samples; and newsgroups. FOLDER holds `adult` and `newsgroups20` as they are published; the other
grounds need no files. Every ground is split anew for every draw, so that forget and unseen samples are exchangeable,
which is what p-values and intervals promise something about. In every draw: an original (it remembers), four
independent retrains (each is judged against the others, and by the references alone), and impostors that nobody may
acquit: the original with noise on its weights; an untrained model; a constant one; the prior with noise; one class
never answered; a tenth of the classes never answered; 5 % of the retained samples answered wrong and nothing else
changed; and a training on the retained samples that began from the original's weights. Those that are ruined in one way
are made from a retrained model that the audit does not compare with. References are one pool a ground; a draw takes 4,
8, 16, … of them, and draws take different ones as long as there are.

On the images four more parts: U-LiRA, for which the original is taken for the outcome of a method that changes nothing
(the shadows of such a method are the references themselves); the cheap attacks; in half of the draws, forget sets that
16 references chose as the most memorised, audited by these and by 16 others; and, in a quarter, seven tenths of a
class.

Outputs and verdicts are kept, so the command can be interrupted. Writes `benchmarks/results/self-audit.json` and the
tables of `docs/evaluation.md`. Verdicts of one draw go together: intervals count a draw once, however many retrains it
has, and uniformity is tested on one retrain of each draw.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import draws
import numpy as np
import torch
from common import insert, provenance, save
from common import table as tabled
from draws import GROUNDS, Case, Shop, Split
from ground import Log
from scipy.stats import beta, kstest

from obliviate._util.seeds import derive
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate, Pool, Shadows
from obliviate.audit.verdict import Margins
from obliviate.results.model import ModelResult

COUNTS: Final = (4, 8, 16, 32)  # references of the images' audits; other grounds have 16
WITH_SHADOWS: Final = (16, 32)
SCREEN: Final = 16  # references of other grounds, of the audits with cheap attacks, and that choose forget sets
DRAWS: Final = {"images": 16, "12 % positives": 12, "2 % positives": 12, "100 classes": 12, "texts": 12}
PASSED: Final = "consistent with retraining"
MOST: Final = 100 * Margins().most  # the widest margin that acquits
OPEN: Final = "not resolvable with these data"
IMPOSTORS: Final = (
    "destroyed",
    "untrained",
    "constant",
    "prior and noise",
    "one class destroyed",
    "a tenth of the classes destroyed",
    "retain accuracy down by 5",
    "checkpoint",
)
CHOSEN: Final = (
    "retrained, chosen by these references",
    "references that chose",
    "other references",
    "retrained, part of a class",
    "references, part of a class",
)
SHOWN: Final = (4, 16, 32)  # references of the rows of attacks on the page
HEADS: Final = {
    "verdicts": [
        "ground", "compared with", "references", "margin", "retrains accepted", "of those resolved",
        "originals rejected", "impostors rejected", "open", "acquitted",
    ],
    "impostors": ["impostor", *GROUNDS],
    "attacks": [
        "ground", "compared with", "references", "attack", "power at 5 %", "false alarms at 5 %",
        "90 % intervals that hold 0", "uniform p (KS)", "mean difference of retrains",
    ],
    "chosen": [
        "compared with", "margin", "retrains accepted", "originals rejected", "RMIA's false alarms at 5 %",
        "mean difference of retrains (RMIA)",
    ],
    "screens": ["screen", "original", "retrained", "standard deviation of these", "original above all of them"],
}  # fmt: skip
PAGE: Final = Path(__file__).parents[1] / "docs" / "evaluation.md"
Entry = dict[str, Any]

# ---------------------------------------------------------------------------------------------- the parts


def verdicts(shop: Shop, number: int, pool: Pool) -> Iterable[Entry]:
    """By more and more references, with retrained models at hand and by the references alone."""
    case = Case(shop, number, Split.of(shop, number))
    counts = COUNTS if shop.ground.name == "images" else (SCREEN,)
    for count in (size for size in counts if size <= len(pool.logits)):
        chosen = part_of(pool, number, count)
        impostors = case.impostors
        yield from judged("retrained", chosen, case, [case.original, *case.retrained])
        entries = judged("retrained", chosen, case, [case.original, *impostors, *case.retrained[1:]])
        yield from (entry for entry in entries if entry["model"] in IMPOSTORS)
        yield from judged("references", chosen, case, [case.original, *impostors, *unlearned(case.retrained)])


def with_shadows(shop: Shop, number: int, pool: Pool) -> Iterable[Entry]:
    """With U-LiRA, of the original and of each retrained model as if a method that changes nothing had made it."""
    case = Case(shop, number, Split.of(shop, number))
    for count in (size for size in WITH_SHADOWS if size <= len(pool.logits)):
        chosen = part_of(pool, number, count)
        shadows = idle_shadows(case, chosen)
        again = replace(case.original, role="unlearned", name="original-again", shadows=shadows)
        alone = [replace(candidate, shadows=shadows) for candidate in unlearned(case.retrained)]
        asked = [again, *alone]
        entries = [*judged("references, with U-LiRA", chosen, case, [case.original, *asked])]
        for candidate in asked:
            others = [other for other in case.retrained if other.name != candidate.name]
            entries += judged("retrained, with U-LiRA", chosen, case, [case.original, candidate, *others])
        yield from (entry for entry in entries if entry["attacked"])


def screens(shop: Shop, number: int, pool: Pool) -> Iterable[Entry]:
    """The cheap attacks on the original and on retrained models."""
    case = Case(shop, number, Split.of(shop, number))
    candidates = [case.original, *case.retrained]
    yield from judged("screens", part_of(pool, number, SCREEN), case, candidates, AuditSettings(cheap_attacks=True))


def memorised(shop: Shop, number: int, pool: Pool) -> Iterable[Entry]:
    """On forget sets that references chose: by these, and by others."""
    begin = 2 * SCREEN * (number % (len(pool.logits) // (2 * SCREEN)))
    same, others = (some(pool, slice(start, start + SCREEN)) for start in (begin, begin + SCREEN))
    case = Case(shop, number, Split.memorised(shop, number, same), "retrained-memorised")
    alone = [case.original, *unlearned(case.retrained)]
    yield from judged(CHOSEN[0], same, case, [case.original, *case.retrained])
    yield from judged(CHOSEN[1], same, case, alone)
    yield from judged(CHOSEN[2], others, case, alone)


def of_class(shop: Shop, number: int, pool: Pool) -> Iterable[Entry]:
    """On a large part of a class: no reference went without it."""
    case = Case(shop, number, Split.of_class(shop, number), "retrained-class")
    chosen = part_of(pool, number, SCREEN)
    yield from judged(CHOSEN[3], chosen, case, [case.original, *case.retrained])
    yield from judged(CHOSEN[4], chosen, case, [case.original, *unlearned(case.retrained)])


PARTS: Final[dict[str, Callable[[Shop, int, Pool], Iterable[Entry]]]] = {
    "verdicts": verdicts,
    "U-LiRA": with_shadows,
    "screens": screens,
    "memorised": memorised,
    "class": of_class,
}
FEWER: Final = {"memorised": 2, "class": 4}  # parts with fewer draws


def part_of(pool: Pool, number: int, count: int) -> Pool:
    """So many references, others in every draw as long as there are."""
    begin = count * (number % (len(pool.logits) // count))
    return some(pool, slice(begin, begin + count))


def some(pool: Pool, references: slice) -> Pool:
    """Some of the references."""
    return Pool(logits=pool.logits[references], included=pool.included[references])


def unlearned(retrained: Sequence[Candidate]) -> list[Candidate]:
    """Retrained models, as if a method had made them."""
    return [replace(candidate, role="unlearned") for candidate in retrained]


def idle_shadows(case: Case, pool: Pool) -> Shadows:
    """What a method that changes nothing makes of references: F and as many unseen samples, as they were."""
    audited = case.audited
    generator = np.random.default_rng(derive(case.number, "shadows"))
    index = np.concatenate([audited.forget, generator.choice(audited.unseen, len(audited.forget), replace=False)])
    logits = [member[index] for member in pool.logits]
    forget = np.arange(len(index)) < len(audited.forget)
    return Shadows(logits=logits, included=pool.included[:, index], index=index, forget=forget)


def judged(
    yardstick: str, pool: Pool, case: Case, candidates: Sequence[Candidate], settings: AuditSettings | None = None
) -> Iterable[Entry]:
    """One audit. Without retrained models at hand the original is: that is why its owner unlearns."""
    result = audit(candidates, pool, case.audited, settings or AuditSettings())
    for model in result.models:
        yield entry(model, yardstick, len(pool.logits)) | {"controls": result.findings.controls.reason}


def entry(model: ModelResult, yardstick: str, references: int) -> Entry:
    """What is kept of a verdict."""
    name = model.name.partition("-")[0]
    return {
        "name": model.name,
        "model": name,
        "references": references,
        "yardstick": yardstick,
        "verdict": model.verdict,
        "reason": model.reason,
        "margin": model.margin,
        "differences": {f"ft_{name}": difference.model_dump() for name, difference in model.differences.items()},
        "test": model.test_accuracy_difference.model_dump(),
        "attacked": "ulira" in model.attacks,
        "screens": {name: screen.value for name, screen in model.cheap_attacks.items()},
    }


def examine(asked: tuple[str, str, int], *, data: Path, out: Path, references: int) -> list[Entry]:
    """One part of one ground on one draw, in a process of its own."""
    ground, part, number = asked
    torch.set_num_threads(1)
    shop = Shop(GROUNDS[ground], data, out)
    pool = draws.references(shop, references)
    return [entry | {"ground": ground, "draw": number} for entry in PARTS[part](shop, number, pool)]


# ---------------------------------------------------------------------------------------------- the tables


def share(hits: Mapping[int, Sequence[bool]]) -> dict[str, float]:
    """A share in percent over all verdicts, with its 95 % interval (Clopper & Pearson 1934), a draw counted once."""
    count, runs = len(hits), sum(map(len, hits.values()))
    rate = sum(map(sum, hits.values())) / runs
    right = rate * count  # not a whole number, which the beta distribution does not mind
    low = float(beta.ppf(0.025, right, count - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, count - right)) if right < count else 1.0
    return {"share": 100 * rate, "low": 100 * low, "high": 100 * high, "runs": runs, "draws": count}


def by_draw(entries: Sequence[Entry], hit: Callable[[Entry], bool]) -> dict[int, list[bool]]:
    """Which entries of every draw are hits."""
    hits: dict[int, list[bool]] = {}
    for entry in entries:
        hits.setdefault(entry["draw"], []).append(hit(entry))
    return hits


def summary(entries: Sequence[Entry]) -> list[Entry]:
    """How often verdicts and attacks were right, by ground, yardstick and number of references."""
    rows: list[Entry] = []
    keys = dict.fromkeys((entry["ground"], entry["yardstick"], entry["references"]) for entry in entries)
    for ground, yardstick, count in sorted(keys, key=lambda key: (list(GROUNDS).index(key[0]), key[1], key[2])):
        chosen = [
            entry
            for entry in entries
            if (entry["ground"], entry["yardstick"], entry["references"]) == (ground, yardstick, count)
        ]
        of = {
            name: [entry for entry in chosen if entry["model"] == name]
            for name in ("original", "retrained", *IMPOSTORS)
        }
        row: Entry = {"ground": ground, "yardstick": yardstick, "references": count}
        row["margin"] = float(np.median([entry["margin"] for entry in of["retrained"]]))
        resolved = [entry for entry in of["retrained"] if not entry["controls"] and entry["margin"] <= MOST]
        row["accepted_where_resolved"] = share(by_draw(resolved, passed)) if resolved else None
        row["models"] = {name: of_model(group) for name, group in of.items() if group}
        impostors = [entry for name in IMPOSTORS for entry in of[name]]
        row["impostors"] = of_model(impostors) if impostors else None
        row["attacks"] = {
            attack: of_attack(attack, leak=of["original"], null=of["retrained"])
            for attack in of["original"][0]["differences"]
        }
        rows.append(row)
    return rows


def passed(entry: Entry) -> bool:
    """Whether a model was acquitted."""
    return entry["verdict"] == PASSED


def of_model(entries: Sequence[Entry]) -> Entry:
    """How often such models were acquitted, rejected, or neither."""
    return {
        "acquitted": share(by_draw(entries, passed)),
        "open": share(by_draw(entries, lambda entry: entry["verdict"] == OPEN)),
        "rejected": share(by_draw(entries, lambda entry: entry["verdict"] not in {PASSED, OPEN})),
        "leaks": share(by_draw(entries, lambda entry: entry["verdict"] == "leaks")),
        "verdicts": {name: sum(entry["verdict"] == name for entry in entries) for name in sorted(verdicts_of(entries))},
    }


def verdicts_of(entries: Sequence[Entry]) -> set[str]:
    """Which verdicts occur."""
    return {entry["verdict"] for entry in entries}


def of_attack(attack: str, *, leak: Sequence[Entry], null: Sequence[Entry]) -> Entry:
    """How one attack tells originals, and how its p-values and intervals are on retrained models."""

    def shared(entries: Sequence[Entry], hit: Callable[[Mapping[str, float]], bool]) -> dict[str, float]:
        return share(by_draw(entries, lambda entry: hit(entry["differences"][attack])))

    numbers = sorted({entry["draw"] for entry in null})
    of = {draw: [entry["differences"][attack] for entry in null if entry["draw"] == draw] for draw in numbers}
    means = [np.mean([difference["value"] for difference in of[draw]]) for draw in numbers]
    return {
        "power": shared(leak, lambda difference: difference["p_above"] < 0.05),
        "false_alarms": shared(null, lambda difference: difference["p_above"] < 0.05),
        "coverage_90": shared(null, lambda difference: difference["low"] <= 0 <= difference["high"]),
        "uniform_p": float(kstest([of[draw][0]["p_above"] for draw in numbers], "uniform").pvalue),
        "bias": float(np.mean(means)),
        "bias_error": float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None,
    }


def of_screens(entries: Sequence[Entry]) -> Entry:
    """What cheap attacks say of originals and of retrained models, and how often the original is above all of these."""
    table: Entry = {}
    for screen in entries[0]["screens"] if entries else ():
        values: dict[str, dict[int, list[float]]] = {"original": {}, "retrained": {}}
        for entry in entries:
            if entry["model"] in values:
                values[entry["model"]].setdefault(entry["draw"], []).append(entry["screens"][screen])
        above = {draw: [shares[0] > max(values["retrained"][draw])] for draw, shares in values["original"].items()}
        table[screen] = {
            **{
                name: float(np.mean([share for shares in of.values() for share in shares]))
                for name, of in values.items()
            },
            "spread": float(np.mean([np.std(shares, ddof=1) for shares in values["retrained"].values()])),
            "above": share(above),
        }
    return table


def pages(rows: Sequence[Entry], screened: Entry) -> dict[str, str]:
    """The tables of `docs/evaluation.md`, by the names of their marks; the JSON file has all rows."""
    by: dict[str, list[list[str]]] = {"verdicts": [], "attacks": [], "chosen": []}
    for row in rows:
        yardstick, count, models = row["yardstick"], row["references"], row["models"]
        margin, original, retrained = f"{row['margin']:.1f}", models["original"], models["retrained"]
        if yardstick in CHOSEN:
            rmia = row["attacks"]["ft_rmia"]
            cells = [margin, shown(retrained["acquitted"]), shown(original["leaks"]), shown(rmia["false_alarms"])]
            by["chosen"].append([yardstick, *cells, biased(rmia)])
            continue
        impostors = row["impostors"]
        resolved = row["accepted_where_resolved"]
        cells = [margin, shown(retrained["acquitted"]), shown(resolved) if resolved else "", shown(original["leaks"])]
        cells += [shown(impostors[name]) for name in ("rejected", "open", "acquitted")] if impostors else [""] * 3
        by["verdicts"].append([row["ground"], yardstick, str(count), *cells])
        attacks = list(row["attacks"])
        for attack in [name for name in attacks if name == "ft_ulira"] or (attacks if count in SHOWN else []):
            figures = row["attacks"][attack]
            shares = [shown(figures[name]) for name in ("power", "false_alarms", "coverage_90")]
            cells = [attack.removeprefix("ft_"), *shares, f"{figures['uniform_p']:.2f}", biased(figures)]
            by["attacks"].append([row["ground"], yardstick, str(count), *cells])
    by["impostors"] = [[name, *(of_impostor(rows, ground, name) for ground in GROUNDS)] for name in IMPOSTORS]
    by["screens"] = [
        [name, *(f"{figures[key]:.1f}" for key in ("original", "retrained", "spread")), shown(figures["above"])]
        for name, figures in screened.items()
    ]
    return {name: tabled(HEADS[name], lines) for name, lines in by.items()}


def of_impostor(rows: Sequence[Entry], ground: str, name: str) -> str:
    """What became of an impostor on a ground with 16 references, over both baselines: rejected, open, acquitted."""
    counts = {"rejected": 0, "open": 0, "acquitted": 0}
    for row in rows:
        if (row["ground"], row["references"]) == (ground, SCREEN) and row["yardstick"] in {"retrained", "references"}:
            for verdict, number in row["models"].get(name, {"verdicts": {}})["verdicts"].items():
                counts["acquitted" if verdict == PASSED else "open" if verdict == OPEN else "rejected"] += number
    return " / ".join(map(str, counts.values())) if any(counts.values()) else ""


def biased(figures: Mapping[str, float]) -> str:
    """The mean difference of retrained models with its standard error over draws, as a cell; none among themselves."""
    if abs(figures["bias"]) < 1e-9:
        return ""
    return f"{figures['bias']:+.2f}" + ("" if figures["bias_error"] is None else f" ± {figures['bias_error']:.2f}")


def shown(rate: Mapping[str, float]) -> str:
    """A share with its interval, as a cell."""
    return f"{rate['share']:.0f} % ({rate['low']:.0f}–{rate['high']:.0f}; {rate['runs']:.0f})"


def main() -> None:
    """Make what is missing, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("datasets"), help="folder with adult and newsgroups20")
    parser.add_argument("--grounds", default=",".join(GROUNDS))
    parser.add_argument("--draws", type=int, default=None, help="of every ground; 16 of the images, 12 of others")
    parser.add_argument("--references", type=int, default=32, help="of the images; other grounds have 16")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/self-audit"))
    args = parser.parse_args()
    grounds = args.grounds.split(",")
    made_by = provenance("python benchmarks/self_audit.py --data FOLDER")
    many = {name: args.draws or DRAWS[name] for name in grounds}
    references = {name: args.references if name == "images" else SCREEN for name in grounds}
    context, workers = get_context("spawn"), draws.processes(args.workers)
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        make = partial(draws.make, data=args.data, out=args.out)
        first, then = draws.jobs(references, many, extra="images" in grounds)
        for jobs in (first, then):  # what references choose is known when they are there
            for future in as_completed([executor.submit(make, job) for job in jobs]):
                print(future.result(), flush=True)
    log = Log(args.out / "verdicts.jsonl")
    parts = {name: list(PARTS) if name == "images" else ["verdicts"] for name in grounds}
    wanted = [
        (name, part, number)
        for name in grounds
        for part in parts[name]
        for number in range(many[name] // FEWER.get(part, 1))
    ]
    todo = [job for job in wanted if str(job) not in log.entries]
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        work = {
            executor.submit(examine, job, data=args.data, out=args.out, references=references[job[0]]): job
            for job in todo
        }
        for done in as_completed(work):
            log.add(str(work[done]), {"commit": made_by["commit"], "entries": done.result()})
            print(f"judged {work[done]}", flush=True)
    kept = [log.entries[str(job)] for job in wanted]
    made_by["commit"] = ", ".join(dict.fromkeys(record["commit"] for record in kept))  # of every verdict
    all_entries = [entry for entries in kept for entry in entries["entries"]]
    screened = of_screens([entry for entry in all_entries if entry["yardstick"] == "screens"])
    rows = summary([entry for entry in all_entries if entry["yardstick"] != "screens"])
    facts = {name: draws.facts(Shop(GROUNDS[name], args.data, args.out)) | {"draws": many[name]} for name in grounds}
    save("self-audit", {**made_by, "grounds": facts, "rows": rows, "screens": screened})
    for name, text in pages(rows, screened).items():
        insert(PAGE, name, text)
        print(text, end="\n\n")


if __name__ == "__main__":
    main()
