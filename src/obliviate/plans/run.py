"""Run a plan: train what runs share once, make every cell, in so many processes, and put the outcomes in a table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from obliviate import workflow
from obliviate._util.files import (
    WORK,
    read_sealed_json,
    remove_leftovers,
    writable_folder,
    write_sealed_json,
)
from obliviate._util.locks import LOCK, locked
from obliviate.errors import PlanError, RecipeError, TrainingError, WorkspaceError
from obliviate.plans.ground import KINDS, Cell, Ground
from obliviate.plans.plan import Plan
from obliviate.plans.results import PlanResults, results
from obliviate.plans.work import JOB, Bench, put, teaching, work_elsewhere
from obliviate.references.completion import check_makers
from obliviate.references.exchange import Exchanging
from obliviate.references.executors.protocol import Executor, Pending
from obliviate.training.device import chosen
from obliviate.training.progress import TICK, Progress, silent
from obliviate.training.run import Run

FORMAT: Final = "obliviate.plan-folder/1"
FILE: Final = "plan.json"
FEW: Final = 512  # samples that a training is timed on
METHOD_SHARE: Final = 0.3
"""What an approximate method is taken to cost, as a share of a training, where nothing is known yet."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What a plan amounts to, before any work: how many of each kind are to be made, how many are done, and how long.

    `counts` are references, teachers, and the cells by kind; `done` how many of the cells are; `seconds` is a rough
    estimate of what is left, for one process. `sets` has the size of every forget set by its rule and draw; those that
    references choose are not in it. `cells` are the ids of all audits, as `run_plan` takes them.
    """

    runs: int
    counts: dict[str, int]
    done: int
    seconds: float
    sets: list[tuple[str, int, int]]
    cells: list[str]

    def to_dict(self) -> dict[str, Any]:
        """In JSON values."""
        return vars(self) | {"sets": [list(entry) for entry in self.sets]}


def outline(plan: Plan, *, folder: Path | str) -> Outline:
    """Say what running a plan would make, and change nothing; raises PlanError as `run_plan` does before any work.

    A training is timed on a few samples, and a method that is not exact taken for 0.3 of one.

    >>> import tempfile
    >>> values = {"data": {"source": "digits"}, "forget": [{"rule": "class:3"}], "method": [{"name": "ssd"}]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outline(Plan.of(values), folder=folder).counts
    {'references': 16, 'teachers': 0, 'original': 1, 'retrained': 3, 'controls': 1, 'method': 1}
    """
    folder = Path(folder)
    if folder.exists():
        _check_folder(folder)
    ground = Ground.of(plan)
    sets = ground.forget_sets(None)
    bench = Bench(ground, sets, folder)
    cells, missing = bench.cells, bench.missing()
    unknown = plan.sets - len(sets)
    counts = Counter(cell.kind for cell in cells)
    per_set = len(plan.seeds) * unknown
    counts.update({"retrained": per_set * plan.retrained, "controls": per_set, "method": per_set * len(plan.trials)})
    training = _training_seconds(ground)
    open_kinds = Counter(cell.kind for cell in missing)
    share = sum(
        1.0 if plan.trials[cell.trial].method.exact else METHOD_SHARE * max(1, plan.trials[cell.trial].tune)
        for cell in missing
        if cell.kind == "method"
    ) + METHOD_SHARE * per_set * len(plan.trials)
    halves = 0 if (folder / "references").exists() else plan.references + ground.teachers
    trainings = open_kinds["original"] + open_kinds["retrained"] + per_set * plan.retrained + halves / 2 + share
    return Outline(
        runs=plan.runs,
        counts={"references": plan.references, "teachers": ground.teachers, **{kind: counts[kind] for kind in KINDS}},
        done=len(cells) - len(missing),
        seconds=round(trainings * training, 1),
        sets=[(forget.rule, forget.draw, len(forget.chosen.ids)) for forget in sets],
        cells=[cell.id for cell in cells if cell.kind in {"controls", "method"}],
    )


def _training_seconds(ground: Ground) -> float:
    """About how long one training takes, from one pass over a few samples; the first pass warms up."""
    recipe, train = ground.experiment.recipe, ground.data.train
    few = train.select(train.ids[:FEW])
    short = replace(recipe, epochs=1, shards=1, slices=1)
    seconds = 0.0
    for _ in range(2):
        run = Run(ground.experiment.task, recipe=short)
        run.train(few)
        seconds = run.seconds
    return seconds * recipe.epochs * len(train) / len(few)


def run_plan(
    plan: Plan | Path | str,
    *,
    folder: Path | str,
    workers: int | None = None,
    executor: Executor | None = None,
    only: Collection[str] = (),
    progress: Progress = silent,
) -> PlanResults:
    """Run a plan in a folder, or go on there, and return its tables; `table.csv`, `.json` and `.svg` keep them.

    What runs share is trained once: an original for each training seed, the references for all of them, retrained
    models for each forget set and seed. A cell of the plan (one of these models, or the audit of one method) has a file
    of its own, named after all that it is made of: a run that was killed goes on where it was, with the same outcome
    bit for bit, and a plan that was extended makes what is new. `workers` local processes work side by side, one per
    core if left out; 0 works in this process. An `executor` is given every cell as a function call. `only` names cells
    by their ids (`outline`): these are made with what they rest on, tables are of them alone, and none is written.

    A method that fails with a forget set under a seed is counted as failed there. Raises PlanError, before any work,
    for a plan, data, methods and rules that do not go together; AuditError for a yardstick that cannot be one;
    WorkspaceError for a folder that holds something else or in which another process is at work.

    >>> import tempfile
    >>> values = {
    ...     "seeds": [0, 1],
    ...     "references": 4,
    ...     "retrained": 2,
    ...     "data": {"source": "digits", "train_size": 100},
    ...     "recipe": {"epochs": 2},
    ...     "forget": [{"rule": "random:0.2"}],
    ...     "method": [{"name": "fine_tune", "epochs": 1}],
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = run_plan(Plan.of(values), folder=folder, workers=0)
    >>> [(model.name, model.audits) for model in results.tables[0].models]
    [('original', 2), ('retrained', 2), ('fine_tune', 2)]
    """
    check_makers(workers, executor)
    if isinstance(executor, Exchanging):
        raise PlanError("expected machines that share the folder of a plan, got an exchange; leave it out")
    plan = plan if isinstance(plan, Plan) else Plan.read(plan)
    folder = Path(folder)
    if folder.exists():
        _check_folder(folder)
    ground = Ground.of(plan)
    count = _workers(ground, workers, executor)
    writable_folder(folder)
    with locked(folder) as lock:
        _begin(folder, ground)
        makers: dict[str, Any] = {"workers": workers, "executor": executor, "progress": progress}
        pool = workflow.train_references(
            ground.experiment, folder=folder / "references", models=plan.references, **makers
        )
        if ground.teachers:
            workflow.train_references(
                teaching(ground),
                folder=folder / "teachers",
                models=ground.teachers,
                groups=ground.data.groups("holdout"),
                **makers,
            )
        sets = ground.forget_sets(pool)
        ground.check(sets)
        bench = Bench(ground, sets, folder, progress, frozenset(only))
        for part in ("models", "cells", WORK):
            (folder / part).mkdir(exist_ok=True)
            remove_leftovers(folder / part)
        total = len(bench.cells)  # which refuses ids of no cell

        def report() -> None:
            progress("cells", total - len(bench.missing()), total)

        if bench.missing():
            report()
            if executor is not None:
                _by_executor(executor, bench, report)
            elif count > 1:
                _by_processes(bench, count, report, lock)
            else:
                bench.all(report=report)
        for claim in (folder / WORK).glob("*.lock"):
            claim.unlink()
        tables = results(bench)
        if not only:
            tables.write(folder)
        report()
    return tables


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else; raises WorkspaceError."""
    if not folder.is_dir():
        raise WorkspaceError(f"expected a folder, got the file {folder}; choose another --out")
    if (folder / FILE).exists():
        read_sealed_json(folder / FILE, FORMAT, remedy="choose another --out")
    elif foreign := sorted(path.name for path in folder.iterdir() if path.name != LOCK):
        raise WorkspaceError(
            f"expected an empty or new folder, or one of a plan, got {folder} that holds {foreign[0]}; choose another "
            "--out"
        )


def _begin(folder: Path, ground: Ground) -> None:
    """Keep what the plan is about; cells of an earlier one stay, and are found again by what they are."""
    remove_leftovers(folder)
    (folder / JOB).unlink(missing_ok=True)
    facts = {"format": FORMAT, "source": ground.plan.source, "seeds": list(ground.plan.seeds), **ground.identity}
    write_sealed_json(folder / FILE, facts)


def _workers(ground: Ground, asked: int | None, executor: Executor | None) -> int:
    recipe = ground.experiment.recipe
    if asked is not None and asked < 0:
        raise PlanError(f"expected 0 workers or more, got {asked}; 0 works in this process")
    if (asked or executor is not None) and not recipe.importable:
        raise RecipeError(
            f"expected a model that other processes can import, got {recipe.model_name}; define it at the top level of "
            "a module, or pass workers=0"
        )
    if asked is None:
        return (os.cpu_count() or 1) if recipe.importable and chosen().type == "cpu" else 0
    return asked


@contextmanager
def _published(bench: Bench) -> Iterator[str]:
    """The work where other processes find it; it is taken away at the end, which stops those that are at work."""
    try:
        yield put(bench)
    finally:
        (bench.folder / JOB).unlink(missing_ok=True)


def _by_processes(bench: Bench, count: int, report: Callable[[], None], lock: int) -> None:
    logs = [bench.folder / WORK / f"worker-{number}.log" for number in range(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes: list[subprocess.Popen[bytes]] = []
    with _published(bench) as sha256:
        command = [sys.executable, "-P", "-m", "obliviate.plans.worker", str(bench.folder), sha256, str(os.getpid())]
        try:
            for log in logs:
                with log.open("wb") as stream:
                    processes.append(
                        subprocess.Popen(  # noqa: S603 - our own module
                            command,
                            stdin=subprocess.DEVNULL,
                            stdout=stream,
                            stderr=stream,
                            env=environment,
                            pass_fds=(lock,),  # a worker that outlives this process keeps others out until it stops
                        )
                    )
            while any(process.poll() is None for process in processes):
                time.sleep(TICK)
                report()
                for process, log in zip(processes, logs, strict=True):
                    _refuse_failure(process.poll(), log)
            for process, log in zip(processes, logs, strict=True):
                _refuse_failure(process.poll(), log)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    for log in logs:
        log.unlink()


def _refuse_failure(code: int | None, log: Path) -> None:
    if code:
        killed = f"killed by signal {-code}, perhaps for want of memory" if code < 0 else "no message"
        text = log.read_text(encoding="utf-8", errors="replace").strip() or killed
        raise TrainingError(
            f"expected all cells to be made, got a failure ({text.splitlines()[-1]}); the whole message is in {log}"
        )


def _by_executor(executor: Executor, bench: Bench, report: Callable[[], None]) -> None:
    """Give every cell away, those first that others rest on."""
    with _published(bench) as sha256:
        for kinds in (KINDS[:1], KINDS[1:2], KINDS[2:]):
            cells = [cell for cell in bench.missing() if cell.kind in kinds]
            pending = [executor.submit(work_elsewhere, str(bench.folder.absolute()), sha256, cell.id) for cell in cells]
            try:
                _wait(list(zip(cells, pending, strict=True)), report)
            finally:
                for result in pending:
                    result.cancel()


def _wait(pending: list[tuple[Cell, Pending]], report: Callable[[], None]) -> None:
    while True:
        waiting = [cell for cell, result in pending if not result.done()]
        for cell, result in pending:
            if result.done():
                try:
                    result.result()
                except Exception as error:  # executors raise types of their own, with no common base
                    raise TrainingError(
                        f"expected all cells to be made, got a failure ({type(error).__name__}: {error}) in {cell.id}; "
                        "mend its cause and run the plan again: what is done is kept"
                    ) from error
        report()
        if not waiting:
            return
        time.sleep(TICK)
