"""Two Ray nodes of one core each against one: how much sooner a pool is trained, beside what the schedule allows.

    python benchmarks/executors.py [--references 8] [--epochs 6] [--rounds 3]

Everything is on this machine, on the loopback; rounds alternate between one node and two in one run, after both have
imported what they need. "By the schedule" is what the members' own seconds on one node allow on two, each given to the
node that is free first. "Slower beside each other" is how much longer members take when two are trained at once: cores
that are shared with other work, or with each other, show there. Members must be those of a local process, bit for bit;
it fails if they are not. Writes `benchmarks/results/executors.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import provenance, ranged, save, spread

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "OMP_NUM_THREADS": "1"}
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))

from ray.cluster_utils import Cluster

import obliviate as ob
from obliviate.references.executors.ray import RayExecutor, opened

OBJECTS = 80 * 2**20  # bytes, the least that Ray takes
TARGET = 1.7


def warm_up(executor: RayExecutor, nodes: int) -> None:
    """Have every node import what members need."""
    for pending in [executor.submit(imported, 2.0) for _ in range(nodes)]:
        pending.result()


def imported(seconds: float) -> str:
    """Import the package, and take so long that every node gets one such call."""
    began = time.monotonic()
    from obliviate.references import jobs

    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    return jobs.__name__


def expected(seconds: list[float], nodes: int) -> float:
    """How long members of these seconds take together, each given to the node that is free first."""
    free = [0.0] * nodes
    for of_member in seconds:
        first = free.index(min(free))
        free[first] += of_member
    return max(free)


def members(folder: Path) -> tuple[list[float], list[str]]:
    """The seconds of every member, and the hashes of its weights."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/member-*.json"))]
    return [record["seconds"] for record in records], [record["weights_sha256"] for record in records]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = ob.load_data("digits")
    recipe = ob.recipe_for(data, epochs=options.epochs)
    experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test)

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        ob.train_references(experiment, folder=place / "processes", models=options.references, workers=1)
        wanted = members(place / "processes")[1]
        rounds: list[dict[str, Any]] = []
        node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": OBJECTS}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        with opened(str(cluster.address)) as executor:
            for number in range(options.rounds):
                row: dict[str, Any] = {}
                for nodes in (1, 2):
                    second = cluster.add_node(**node) if nodes == 2 else None
                    warm_up(executor, nodes)
                    folder, began = place / f"{number}-{nodes}", time.monotonic()
                    ob.train_references(experiment, folder=folder, models=options.references, executor=executor)
                    row[f"{nodes} nodes"] = time.monotonic() - began
                    seconds, hashes = members(folder)
                    if hashes != wanted:
                        raise SystemExit(f"expected the members of a local process, got others on {nodes} nodes")
                    row[f"members on {nodes}"] = sum(seconds)
                    if second is not None:
                        cluster.remove_node(second)
                    if nodes == 1:
                        row["by the schedule"] = expected(seconds, 1) / expected(seconds, 2)
                row["ratio"] = row["1 nodes"] / row["2 nodes"]
                row["slower beside each other"] = row["members on 2"] / row["members on 1"]
                rounds.append(row)
                print({name: round(value, 2) for name, value in row.items()}, flush=True)
        cluster.shutdown()
    ratio, schedule = (spread([row[name] for row in rounds]) for name in ("ratio", "by the schedule"))
    print(
        f"two nodes against one: {ranged(ratio, 2)} times as fast; by the schedule of the members' own seconds "
        f"{ranged(schedule, 2)}; target {TARGET}"
    )
    command = f"benchmarks/executors.py --references {options.references} --epochs {options.epochs}"
    save(
        "executors",
        {**provenance(command), "target": TARGET, "ratio": ratio, "by_the_schedule": schedule, "rounds": rounds},
    )


if __name__ == "__main__":
    main()
