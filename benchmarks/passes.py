"""Where the passes of a method go: samples through the network a step, and shares of the time, beside a retraining.

    python benchmarks/passes.py [--quick]

AMUN, MixUnlearn and ∇τ at their defaults, and retraining, on the requests of the part "systems" of `bench.py`. A run is
watched from outside: calls of the network with and without gradients, backward passes, optimiser steps, and searches
(AMUN's for adversarial examples, MixUnlearn's steps of the generator of masks), in processor time on one thread. Counts
are exact; shares are those of the run with the median time of a few. Keeps `benchmarks/results/passes.json` and makes
the table of `docs/performance.md` of it; `--quick` is for a look, and keeps nothing.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeVar
from unittest.mock import patch

import torch
from bench import FULL, PAGE, QUICK, SYSTEMS, Size, request
from common import insert, provenance, save, table
from pairs import Clock
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from obliviate import workflow
from obliviate.methods import amun
from obliviate.methods.base import Method
from obliviate.methods.retrain import Retrain
from obliviate.training.run import Run

T = TypeVar("T")
Kind = Literal["forward", "backward", "search", "looking", "update", "other"]

KINDS: Final[dict[Kind, str]] = {
    "forward": "forward",
    "backward": "backward",
    "search": "search",
    "looking": "without gradient",
    "update": "optimiser",
    "other": "other",
}
"""What time is spent on, and how the table calls it: each moment counts once, inside a search as search."""


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What one run did: optimiser steps outside of searches, samples through the network, and processor seconds.

    `trained` went through with gradients, `searched` in a search, `looked_at` without gradients.
    """

    steps: int
    trained: int
    searched: int
    looked_at: int
    seconds: dict[Kind, float]

    @property
    def total(self) -> float:
        """All processor seconds."""
        return sum(self.seconds.values())

    @property
    def samples(self) -> int:
        """All samples through the network."""
        return self.trained + self.searched + self.looked_at

    def share(self, kind: Kind) -> float:
        """Of the time."""
        return self.seconds[kind] / self.total


class Meter:
    """Watches one run of a network: what it is doing at each moment, and how many samples it is asked about.

    `network` is the class of the models that count; the calls of other modules, such as a generator of masks, are part
    of what goes on around them.
    """

    def __init__(self, network: type[nn.Module], *, clock: Clock = time.process_time) -> None:
        self.network, self.clock = network, clock
        self.seconds: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self.samples: Counter[Kind] = Counter()
        self.steps = 0
        self._doing: list[Kind] = ["other"]
        self._depth = 0
        self._since = clock()

    def begin(self, kind: Kind) -> None:
        """Begin something; inside a search it is part of that."""
        self._count()
        self._doing.append("search" if self._doing[-1] == "search" else kind)

    def end(self) -> None:
        """Go on with what was being done before."""
        self._count()
        self._doing.pop()

    @contextmanager
    def watching(self) -> Iterator[Meter]:
        """Watch everything that torch and `Run` do inside."""
        hooks = [
            register_module_forward_pre_hook(self._called),
            register_module_forward_hook(self._answered, always_call=True),
            register_optimizer_step_pre_hook(lambda *_: self.begin("update")),
            register_optimizer_step_post_hook(self._stepped),
        ]
        self._since = self.clock()
        try:
            with (
                patch.object(Tensor, "backward", self._timed("backward", Tensor.backward)),
                patch.object(Run, "step", self._timed("search", Run.step)),
                patch.object(amun, "adversarial_examples", self._timed("search", amun.adversarial_examples)),
            ):
                yield self
        finally:
            self._count()
            for hook in hooks:
                hook.remove()

    def passes(self) -> Passes:
        """What was seen."""
        return Passes(
            steps=self.steps,
            trained=self.samples["forward"],
            searched=self.samples["search"],
            looked_at=self.samples["looking"],
            seconds=dict(self.seconds),
        )

    def _count(self) -> None:
        now = self.clock()
        self.seconds[self._doing[-1]] += now - self._since
        self._since = now

    def _timed(self, kind: Kind, work: Callable[..., T]) -> Callable[..., T]:
        def timed(*arguments: Any, **options: Any) -> T:
            self.begin(kind)
            try:
                return work(*arguments, **options)
            finally:
                self.end()

        return timed

    def _called(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, self.network):
            if not self._depth:
                x = inputs[0]
                trained = x.requires_grad or any(weight.requires_grad for weight in module.parameters())
                self.begin("forward" if torch.is_grad_enabled() and trained else "looking")
                self.samples[self._doing[-1]] += len(x)
            self._depth += 1

    def _answered(self, module: nn.Module, _inputs: tuple[Any, ...], _output: Any) -> None:
        if isinstance(module, self.network):
            self._depth -= 1
            if not self._depth:
                self.end()

    def _stepped(self, *_: Any) -> None:
        self.steps += self._doing[-1] == "update"
        self.end()


def watched(network: type[nn.Module], work: Callable[[], object]) -> Passes:
    """What a piece of work does."""
    with Meter(network).watching() as meter:
        work()
    return meter.passes()


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the table: a method by a recipe of so many passes, and what one retraining did."""

    method: str
    recipe: int
    batch: int
    passes: Passes
    retraining: Passes

    def cells(self) -> list[str]:
        """How the line reads."""
        done, steps = self.passes, max(self.passes.steps, 1)
        beside = [
            f"{100 * done.samples / self.retraining.samples:.0f}",
            f"{100 * done.total / self.retraining.total:.0f}",
        ]
        each = [f"{count / steps:.0f}" for count in (done.trained, done.searched, done.looked_at)]
        return [
            f"`{self.method}`, {self.recipe} passes",
            str(done.steps),
            *each,
            *beside,
            *(f"{100 * done.share(kind):.0f}" for kind in KINDS),
        ]


def heads(batch: int) -> list[str]:
    """What stands over the columns; a training's step has so many samples."""
    return [
        "what",
        "steps",
        f"samples a step (training: {batch})",
        "in searches, a step",
        "without gradient, a step",
        "samples, % of a retraining's",
        "time, % of a retraining's",
        *(f"{name}, % of time" for name in KINDS.values()),
    ]


def measure(size: Size, passes: int) -> Iterator[Line]:
    """The lines of a recipe of so many passes, the retraining first."""
    original, split = request(size, passes)

    def by(method: Method, seed: int) -> Passes:
        network = type(original.model)
        return watched(network, lambda: workflow.unlearn(original, split, method, seed=seed, measure=None))

    methods = (Retrain(), *SYSTEMS)
    runs: dict[str, list[Passes]] = {method.name: [] for method in methods}
    for number in range(-1, size.rounds):  # the first pays for imports and caches
        for method in methods:
            done = by(method, max(number, 0))
            if number >= 0:
                runs[method.name].append(done)
    middle = {name: sorted(each, key=lambda done: done.total)[len(each) // 2] for name, each in runs.items()}
    assert original.recipe is not None
    for method in methods:
        yield Line(
            method=method.name,
            recipe=passes,
            batch=original.recipe.batch_size,
            passes=middle[method.name],
            retraining=middle["retrain"],
        )


def page(lines: Sequence[Line], source: str) -> str:
    """The generated table of `docs/performance.md`."""
    return f"{source}\n\n{table(heads(lines[0].batch), [line.cells() for line in lines])}"


def lines_of(kept: dict[str, Any]) -> list[Line]:
    """The lines that were kept."""
    both = ("passes", "retraining")
    return [Line(**{**values, **{name: Passes(**values[name]) for name in both}}) for values in kept["lines"]]


def source_of(kept: dict[str, Any]) -> str:
    """The sentence on where and by what the table was made."""
    machine = kept["machine"]
    where = f"{machine['cores']} cores ({machine['cpu']}), torch {machine['torch']}"
    return f"`{kept['command']}`, commit {kept['commit']}; {where}."


def main() -> None:
    """Measure and print, and keep everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, for a look; nothing is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = QUICK if options.quick else FULL
    lines = [line for passes in size.passes for line in measure(size, passes)]
    content = provenance("python benchmarks/passes.py") | {"lines": [asdict(line) for line in lines]}
    print(page(lines, source_of(content)))
    if not options.quick:
        save("passes", content)
        insert(PAGE, "passes", page(lines, source_of(content)))


if __name__ == "__main__":
    main()
