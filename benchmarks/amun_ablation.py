"""What in AMUN's adversarial set does the work: section 6.2.1 of its paper, on the embedded data.

    python benchmarks/amun_ablation.py [--model-seeds 0,1,2] [--out runs/methods]

Every variant is AMUN at its defaults, trained on other examples (x, label) of the forget samples:

- Adv: the adversarial example and the label that the model mispredicts for it, AMUN itself;
- AdvL: the forget sample, with that label;
- RL: the forget sample, with a random wrong label;
- A_RL: the adversarial example, with a random label that is neither the true nor the mispredicted one;
- A_RS: a random point as far from the forget sample as the adversarial example, with the mispredicted label.

Beside them: the forget samples with their true labels added, as in the paper's tables (Adv + D_F); AMUN + SalUn; the
weak attack (FGSM); examples found on another model of the same architecture (transferred). A tenth and half of the
training set are forgotten, with and without the retain set. Uses the models of `benchmarks/methods.py` (trains them if
they are not there). Figures are appended to `<out>/ablation.jsonl` as they are made, so the command can be interrupted;
they are made again where AMUN's settings or the examples have changed. Writes `benchmarks/results/amun_ablation.json`
and prints its tables: mean (least–greatest) over the models.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import provenance, ranged, save, spread, table
from ground import COLUMNS, Ground, Log, Request, figures, key_of
from torch import Tensor

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.sources import EMBEDDED
from obliviate.experiment import Experiment
from obliviate.methods.amun import AMUN, adversarial_examples
from obliviate.methods.base import settle
from obliviate.task import InputSpace
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale

FORGET_SEED = 3001
SHARES = (0.1, 0.5)
OTHER = 500  # what the seed of the model that examples are transferred from adds to that of the model
FIGURES = {title: column for title, column in COLUMNS.items() if column[0] != "share_of_retraining"}


def random_labels(classes: int, excluded: Tensor, generator: torch.Generator) -> Tensor:
    """A random class for every row, none of those in its row of `excluded`."""
    weights = torch.ones(len(excluded), classes).scatter_(1, excluded, 0.0)
    return torch.multinomial(weights, 1, generator=generator)[:, 0]


def random_points(x: Tensor, distance: Tensor, space: InputSpace, generator: torch.Generator) -> Tensor:
    """A point in a random direction from every row, at the L2 distance given once it is clipped to the valid range."""
    start = x.flatten(1)
    direction = torch.randn(start.shape, generator=generator)
    low, high = torch.zeros(len(x)), 100 * distance / direction.norm(dim=1)
    for _ in range(40):
        middle = (low + high) / 2
        short = (space.clamp(start + middle[:, None] * direction) - start).norm(dim=1) < distance
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return space.clamp(start + high[:, None] * direction).view_as(x)


def variants(ground: Ground, request: Request) -> dict[str, AMUN]:
    """AMUN with every kind of example, on one request."""
    forget = request.split.forget
    found = adversarial_examples(ground.original.model, forget, Run(ground.task, seed=request.seed))
    space, classes = ground.task.space(ground.original.model), ground.data.classes
    assert space is not None
    here, there = forget.everything(), found.everything()
    generator = torch.Generator().manual_seed(derive(request.seed, "ablation", ground.seed))
    distance = (there.x - here.x).flatten(1).norm(dim=1)
    wrong = random_labels(classes, here.y[:, None], generator)
    third = random_labels(classes, torch.stack([here.y, there.y], 1), generator)
    elsewhere = random_points(here.x, distance, space, generator)

    def amun(x: Tensor, y: Tensor, **settings: Any) -> AMUN:
        return AMUN(examples=Samples.from_tensors(x, y, ids=found.ids), **settings)

    made = {
        "Adv": amun(there.x, there.y),
        "AdvL": amun(here.x, there.y),
        "RL": amun(here.x, wrong),
        "A_RL": amun(there.x, third),
        "A_RS": amun(elsewhere, there.y),
        "Adv + D_F": amun(there.x, there.y, keep_forget=True),
        "Adv + SalUn": amun(there.x, there.y, saliency=0.5),
        "weak attack": AMUN(search="fgsm"),
    }
    other = workflow.train(
        Experiment(ground.task, ground.recipe, ground.data.train, seed=ground.seed + OTHER),
        folder=ground.folder / f"other-{ground.seed + OTHER}",
    )
    made["transferred"] = AMUN(examples=adversarial_examples(other.model, forget, Run(ground.task, seed=request.seed)))
    return made


def measure(request: Request, log: Log, name: str, method: AMUN, *, retain: bool, where: tuple[int, float]) -> Any:
    """One variant on one request, or what was found when it ran before."""
    split = request.split if retain else request.split.without_retain()
    examples = "" if method.examples is None else method.examples.sha256
    key = key_of(*where, name, repr(settle(method, split, Scale.of(request.ground.recipe))), examples, retain)
    if key not in log.entries:
        entry = log.add(key, {"name": name, "where": where, "retain": retain, **request.trial(method, retain=retain)})
        print(name, where, "with D_R" if retain else "D_R hidden", f"{entry['average_gap']:.2f}", flush=True)
    return log.entries[key]


def yardsticks(ground: Ground, request: Request, log: Log, where: tuple[int, float]) -> dict[str, list[Any]]:
    """The original and the retrained models under the same audit."""
    key = key_of(*where, "yardsticks")
    if key not in log.entries:
        original, *retrained = request.audit(request.evaluation.candidate(ground.original))
        log.add(key, {"original": [figures(original)], "retrained": [figures(one) for one in retrained]})
    return {name: log.entries[key][name] for name in ("original", "retrained")}


def summary(rows: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The spread of every figure, and on how many models a variant's average gap is larger than that of Adv."""
    reference = [one["average_gap"] for one in rows["Adv"]]
    table: dict[str, dict[str, Any]] = {}
    for name, entries in rows.items():
        table[name] = {figure: spread([one[figure] for one in entries]) for figure, _ in FIGURES.values()}
        if name not in ("original", "retrained", "Adv"):
            gaps = [one["average_gap"] for one in entries]
            table[name]["worse_than_adv"] = sum(gap > own for gap, own in zip(gaps, reference, strict=True))
            table[name]["models"] = len(gaps)
    return table


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """The table of `docs/methods/amun.md`."""
    lines = [
        [
            name,
            *(ranged(row[key], digits) for key, digits in FIGURES.values()),
            f"{row['worse_than_adv']} of {row['models']}" if "models" in row else "",
        ]
        for name, row in found.items()
    ]
    return table(["examples", *FIGURES, "worse than Adv on"], lines)


def main() -> None:
    """Run every variant on every model and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    arguments = parser.parse_args()

    log = Log(arguments.out / "ablation.jsonl")
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for seed in (int(one) for one in arguments.model_seeds.split(",")):
        ground = Ground(arguments.out / f"model-{seed}", source=EMBEDDED, recipe=Recipe(), seed=seed)
        for share in SHARES:
            request, where = ground.request(share, FORGET_SEED), (seed, share)
            made = variants(ground, request)
            for retain in (True, False):
                rows = tables.setdefault(f"{100 * share:g} % forgotten, {'with' if retain else 'without'} D_R", {})
                for name, entries in yardsticks(ground, request, log, where).items():
                    rows.setdefault(name, []).extend(entries)
                for name, method in made.items():
                    rows.setdefault(name, []).append(measure(request, log, name, method, retain=retain, where=where))
    summaries = {title: summary(rows) for title, rows in tables.items()}
    for title, found in summaries.items():
        print(f"\n{title}\n\n{markdown(found)}")
    command = f"python benchmarks/amun_ablation.py --model-seeds {arguments.model_seeds}"
    content = {"forget_seed": FORGET_SEED, "recipe": Recipe().to_dict(), "tables": summaries}
    print(save("amun_ablation", {**provenance(command), **content}))


if __name__ == "__main__":
    main()
