"""Flip single bits in every kind of file that is read back, and tell whether any flip changes a result in silence.

    python benchmarks/bit_flips.py --flips 1000

Small folders are made with everything in them: two requests with shadows, coins and noise; a second training seed; a
model in shards; and trainings that were interrupted. Each flip is one random bit of one random file of one kind, in a
fresh copy of the folder, which is then read as a user would: audited, compared, reported, or gone on with. What may
come of it:

found           refused with one of our errors
started over    the stage was done again, which was said, to the same weights
no effect       the same figures or weights as without the flip
silent change   other figures or weights: a fault
traceback       an error that is not ours: a fault

After that, 28 aimed changes of references' outputs, such as the sign of all of one reference's.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import torch
from common import provenance, save, table

from obliviate._util.files import LOG, WORK
from obliviate.comparison import compare
from obliviate.errors import ObliviateError
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.sisa import SISA
from obliviate.results.schema import Results
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.workspace import Canaries, ReportSettings, Workspace, auditing, write_report

OUTCOMES: Final = ("found", "started over", "no effect", "silent change", "traceback")
FAULTS: Final = ("silent change", "traceback")
VARYING: Final = ("created", "wall_seconds", "peak_rss_mb")  # of any two audits of the same models
NUMBERS: Final = {"features": 6, "classes": 3, "hidden": [8]}
RECIPE: Final = Recipe(model="mlp", model_options=NUMBERS, epochs=3, batch_size=16, precision="float32")
SHARDED: Final = Recipe(
    model="mlp", model_options=NUMBERS, epochs=3, batch_size=4, precision="float32", shards=2, slices=2
)
UNLEARNING: Final = AMUN(epochs=3)
REFERENCES: Final = 6
SIGN: Final = 0x80000000  # of a float32

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """Files of one kind, by the folder that is copied and their names in it, and who reads them."""

    name: str
    within: str
    names: str
    read: Read

    def files(self, root: Path) -> list[Path]:
        """Those that are there."""
        return sorted(path for path in (root / self.within).glob(self.names) if path.is_file())


# ------------------------------------------------------------------------------------------- what is flipped


def make(root: Path) -> None:
    """Make the folders."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(110) % 3
    x = (torch.rand(3, 6, generator=generator)[y] + 0.15 * torch.randn(110, 6, generator=generator)).clamp(0, 1)
    rows, labels, ids = x.numpy(), y.numpy(), np.array([f"s{place:03d}" for place in range(110)])
    source = root / "rows.npz"
    parts: dict[str, Any] = {"train_x": rows[:80], "train_y": labels[:80], "train_ids": ids[:80]}
    np.savez(source, **parts, test_x=rows[80:], test_y=labels[80:], test_ids=ids[80:])
    for name, seed in (("run", 0), ("other", 1)):
        work = Workspace.create(
            root / name / name, source=str(source), recipe=RECIPE, seed=seed, canaries=Canaries(coins=6, noise=6)
        )
        work.choose(work.data.train.ids[:12].tolist())
        work.unlearn(FineTune(epochs=1))
        _audited(work, 1)
    work = Workspace.open(root / "run" / "run")
    work.choose(work.data.train.ids[12:26].tolist(), after="1-fine_tune")
    work.unlearn(FineTune(epochs=1))
    _audited(work, 2, shadows=True)
    shutil.copytree(root / "run" / "run", root / "both" / "run")
    shutil.copytree(root / "other" / "other", root / "both" / "other")
    _audited(Workspace.open(root / "both" / "run"), 1)
    _interrupt(lambda: Workspace.create(root / "trained" / "run", source=str(source), recipe=RECIPE, seed=0).train(), 3)
    work = Workspace.create(root / "unlearned" / "run", source=str(source), recipe=RECIPE, seed=0)
    work.choose(work.data.train.ids[:12].tolist())
    work.train()
    _interrupt(lambda: work.unlearn(UNLEARNING), 3)
    sharded = Workspace.create(root / "sharded" / "run", source=str(source), recipe=SHARDED, seed=0)
    sharded.choose(sharded.data.train.ids[:1].tolist())  # one shard keeps its slices
    _interrupt(sharded.train, 6)
    shutil.copytree(root / "sharded" / "run", root / "shards" / "run")
    Workspace.open(root / "shards" / "run").train()


def _audited(work: Workspace, request: int, *, shadows: bool = False) -> Results:
    return work.audit(
        references=REFERENCES,
        retrained=2,
        request=request,
        shadows=shadows,
        workers=0,
        report=ReportSettings(pictures=False),
    )


def _interrupt(work: Callable[[], object], epoch: int) -> None:
    """Do it up to this epoch, with its state saved after each."""
    fit, init, begun = Run.fit, Run.__init__, [0]

    def counting(self: Run, *arguments: Any, **options: Any) -> float:
        begun[0] += 1
        if begun[0] == epoch:
            raise KeyboardInterrupt
        return fit(self, *arguments, **options)

    def saving(self: Run, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options | {"save_every": 0.0})

    with patch.object(Run, "__init__", saving), patch.object(Run, "fit", counting):
        try:
            work()
        except KeyboardInterrupt:
            return
    raise SystemExit(f"expected more than {epoch - 1} epochs to interrupt, got {begun[0]}")


# ------------------------------------------------------------------------------------------- who reads it


def audit(root: Path) -> object:
    """Audit the second request; the page is another reader's."""
    with patch.object(auditing, "write_report"):
        values = _audited(Workspace.open(root / "run"), 2, shadows=True)
    return {key: value for key, value in values.to_dict().items() if key not in VARYING}


def shadowed(root: Path) -> object:
    """Audit the second request, whose shadows are made again from the references' weights."""
    for shadows in root.glob("run/references/*/shadows"):
        shutil.rmtree(shadows)
    values = audit(root)
    assert isinstance(values, dict)
    return values["models"]


def compared(root: Path) -> object:
    """Compare both training seeds."""
    return compare([root / "run", root / "other"], request=1).to_dict()


def reported(root: Path) -> object:
    """Write the page."""
    return write_report(root / "run").read_bytes()


def trained(root: Path) -> object:
    """Go on with the original model."""
    return weights_sha256(Workspace.open(root / "run").train().model)


def unlearned(root: Path) -> object:
    """Go on with an unlearning."""
    return weights_sha256(Workspace.open(root / "run").unlearn(UNLEARNING).model)


def resharded(root: Path) -> object:
    """Unlearn from the checkpoints of a model in shards."""
    return weights_sha256(Workspace.open(root / "run").unlearn(SISA()).model)


KINDS: Final = (
    Kind("workspace.json", "run", "run/workspace.json", audit),
    Kind("request.json", "run", "run/requests/*/request.json", audit),
    Kind("events.jsonl", "run", "run/events.jsonl", audit),
    Kind("coins.json", "run", "run/coins.json", audit),
    Kind("noise.json", "run", "run/noise.json", audit),
    Kind("manifests of models", "run", "run/**/models/*.json", audit),
    Kind("weights of models", "run", "run/**/models/*.safetensors", audit),
    Kind("pool.json", "run", "run/references/*/pool.json", audit),
    Kind("hashes of references", "run", "run/references/*/member-*.json", audit),
    Kind("outputs of references", "run", "run/references/*/member-*.logits.safetensors", audit),
    Kind("weights of references", "run", "run/references/*/member-???.safetensors", shadowed),
    Kind("shadows.json", "run", "run/references/*/shadows/*/shadows.json", audit),
    Kind("hashes of shadows", "run", "run/references/*/shadows/*/shadow-*.json", audit),
    Kind("outputs of shadows", "run", "run/references/*/shadows/*/*.logits.safetensors", audit),
    Kind("results.json, for the page", "run", "run/requests/0002/results.json", reported),
    Kind("results.json, compared", "both", "run/requests/0001/results.json", compared),
    Kind("scores.npz", "both", "run/requests/0001/scores.npz", compared),
    Kind("workspace.json, compared", "both", "run/workspace.json", compared),
    Kind("request.json, compared", "both", "run/requests/0001/request.json", compared),
    Kind("manifests, compared", "both", "run/**/models/*.json", compared),
    Kind("states of a training", "trained", f"run/{WORK}/*/*.pt", trained),
    Kind("states of an unlearning", "unlearned", f"run/requests/*/{WORK}/*/*.pt", unlearned),
    Kind("examples and masks", "unlearned", f"run/requests/*/{WORK}/*/*.safetensors", unlearned),
    Kind("states of a slice", "sharded", f"run/{WORK}/*/*.pt", trained),
    Kind("slices of an unfinished training", "sharded", "run/checkpoints/*/*.safetensors", trained),
    Kind("slices of a finished training", "shards", "run/checkpoints/*/*.safetensors", resharded),
    Kind("slices.json", "shards", "run/checkpoints/*/slices.json", resharded),
)


# ------------------------------------------------------------------------------------------- what comes of it


class Said(logging.Handler):
    """Collects what the package says in its log of stages that start over."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect one message."""
        if any(words in (message := record.getMessage()) for words in ("starts over", "are dropped")):
            self.messages.append(message)


@dataclass(frozen=True)
class Flip:
    """What came of a change of one file; `message` is what was said of it."""

    kind: str
    file: str
    what: str
    outcome: str
    message: str


class Ground:
    """Folders that were made, copied for every change, and what their readers say where nothing was changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make(root)
        self._whole: dict[Kind, object] = {}

    def whole(self, kind: Kind) -> object:
        """What the reader says of the folder as it was made."""
        same = next((other for other in self._whole if (other.within, other.read) == (kind.within, kind.read)), None)
        if same is None:
            self._whole[kind] = kind.read(self._copied(kind))
            return self._whole[kind]
        return self._whole[same]

    def change(self, kind: Kind, path: Path, content: bytes | None, what: str) -> Flip:
        """Write other content into a file of a copy, or put a folder in its place for None, and have it read."""
        whole, copy = self.whole(kind), self._copied(kind)
        place = path.relative_to(self.root / kind.within)
        (copy / place).unlink()  # it may be one file under two names
        if content is None:
            (copy / place).mkdir()
        else:
            (copy / place).write_bytes(content)
        said, handlers = Said(), LOG.handlers[:]
        LOG.addHandler(said)
        LOG.propagate = False
        try:
            result = kind.read(copy)
        except ObliviateError as error:
            return Flip(kind.name, str(place), what, "found", str(error))
        except Exception as error:  # noqa: BLE001 - which is what is counted
            return Flip(kind.name, str(place), what, "traceback", f"{type(error).__name__}: {error}")
        finally:
            LOG.handlers[:], LOG.propagate = handlers, True
        unchanged = "started over" if said.messages else "no effect"
        outcome = unchanged if result == whole else "silent change"
        return Flip(kind.name, str(place), what, outcome, " ".join(said.messages))

    def flip(self, kind: Kind, generator: np.random.Generator) -> Flip:
        """Flip one random bit of one random file."""
        files = kind.files(self.root)
        path = files[int(generator.integers(len(files)))]
        content = bytearray(path.read_bytes())
        place, bit = int(generator.integers(len(content))), int(generator.integers(8))
        content[place] ^= 1 << bit
        return self.change(kind, path, bytes(content), f"bit {bit} of byte {place}")

    def aimed(self) -> list[Flip]:
        """Change the outputs of four references in seven ways that leave files which can be read."""
        kind = next(candidate for candidate in KINDS if candidate.name == "outputs of references")
        files = kind.files(self.root)[:4]
        size = self._outputs(files[0])
        flips = []
        for place, path in enumerate(files):
            content = path.read_bytes()
            head, bits = content[:-size], np.frombuffer(content[-size:], np.uint32)
            rows = bits.reshape(-1, NUMBERS["classes"])
            changed = {
                "the sign of all outputs": bits ^ SIGN,
                "the sign of one output": np.where(np.arange(len(bits)) == len(bits) // 2, bits ^ SIGN, bits),
                "the sign of all outputs of one sample": np.where(
                    np.arange(len(rows))[:, None] == 7, rows ^ SIGN, rows
                ),
                "the lowest bit of the last output": np.where(np.arange(len(bits)) == len(bits) - 1, bits ^ 1, bits),
                "classes in another order": rows[:, ::-1],
                "samples in another order": rows[::-1],
                "the outputs of another reference": np.frombuffer(files[place - 1].read_bytes()[-size:], np.uint32),
            }
            for what, values in changed.items():
                data = np.ascontiguousarray(values, dtype=np.uint32).tobytes()
                flips.append(self.change(kind, path, head + data, what))
        return flips

    @staticmethod
    def _outputs(path: Path) -> int:
        """How many bytes of a file are outputs: all but the head, whose length is told first."""
        content = path.read_bytes()
        return len(content) - 8 - int.from_bytes(content[:8], "little")

    def _copied(self, kind: Kind) -> Path:
        copy = self.root / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        return Path(shutil.copytree(self.root / kind.within, copy))


def rows(flips: Sequence[Flip]) -> list[list[str]]:
    """How often each outcome came of changes of every kind of file."""
    counts = Counter((flip.kind, flip.outcome) for flip in flips)
    names = dict.fromkeys(flip.kind for flip in flips)
    lines = [[name, *(str(counts[name, outcome]) for outcome in OUTCOMES)] for name in names]
    return [*lines, ["all", *(str(sum(flip.outcome == outcome for flip in flips)) for outcome in OUTCOMES)]]


def main() -> None:
    """Flip, print the table, and fail where a flip was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as root:
        ground = Ground(Path(root))
        flips = [ground.flip(KINDS[place % len(KINDS)], generator) for place in range(arguments.flips)]
        aimed = ground.aimed()
    flips.sort(key=lambda flip: [kind.name for kind in KINDS].index(flip.kind))
    faults = [flip for flip in flips + aimed if flip.outcome in FAULTS]
    lines = [*rows(flips)[:-1], *rows(flips)[-1:], ["aimed at outputs of references", *rows(aimed)[-1][1:]]]
    print(table(["file", *OUTCOMES], lines))
    for fault in faults:
        print(f"{fault.outcome}: {fault.what} of {fault.file}: {fault.message}")
    command = f"python benchmarks/bit_flips.py --flips {arguments.flips} --seed {arguments.seed}"
    content = {
        "flips": len(flips),
        "aimed": len(aimed),
        "outcomes": {line[0]: dict(zip(OUTCOMES, map(int, line[1:]), strict=True)) for line in lines},
        "faults": [json.loads(json.dumps(vars(fault))) for fault in faults],
    }
    print(save("bit_flips", provenance(command) | content))
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
