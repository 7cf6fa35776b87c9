"""What a method reads: samples of its split alone, the retain set whole, and no label that it does without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import TensorDataset

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.testing.bench import Bench
from obliviate.testing.check import expect
from obliviate.testing.reads import counted, recorded
from obliviate.training.checkpoint import weights_sha256
from obliviate.workflow import Session


def reads_only_what_it_may_see(method: Any, bench: Bench, folder: Path) -> None:
    """It reads no sample outside the split: all of the retain set if it needs one, else none of it unless given."""
    train, read = recorded(bench.train)
    outside, forget = bench.train.ids[:50].tolist(), bench.train.ids[50:110].tolist()
    split = Split.of(train.without(outside), forget=forget, holdout=bench.split.holdout)
    if "retain" in method.needs:
        bench.forget(method, split)
        unread = set(split.kept.ids.tolist()) - read()
        expect(not unread, method, "to read the whole retain set, which it needs", f"{len(unread)} samples unread")
    else:
        bench.forget(method, split.without_retain())
        expect(read() == set(forget), method, "to read the forget set and nothing else", f"{len(read())} samples read")
        bench.forget(method, split)
    expect(
        not read() & set(outside), method, "to read no sample outside the split", f"{sorted(read() & set(outside))[:3]}"
    )
    if method.exact:
        expect(not read() & set(forget), method, "an exact method not to read the forget set", "some of it read")


def works_on_a_dataset_that_is_not_held_in_memory(method: Any, bench: Bench, folder: Path) -> None:
    """The same weights as from the same samples in memory."""
    batch, ids = bench.train.everything(), bench.train.ids[:200]
    lazy = Samples.from_dataset(TensorDataset(batch.x[:200], batch.y[:200]), ids=ids, in_memory=False)
    splits = [
        Split.of(train, forget=ids[:20], holdout=bench.split.holdout) for train in (lazy, bench.train.select(ids))
    ]
    weights = [weights_sha256(bench.forget(method, split)) for split in splits]
    expect(weights[0] == weights[1], method, "the same weights from a dataset that is read sample by sample", "others")


def works_with_no_more_than_it_needs(method: Any, bench: Bench, folder: Path) -> None:
    """Without a retain set, a holdout set or a recipe, unless it says that it needs them."""
    least = Split(
        bench.split.forget,
        bench.split.retain if "retain" in method.needs else None,
        bench.split.holdout if "holdout" in method.needs else None,
    )
    poor = bench if "recipe" in method.needs else bench.without_recipe
    same = weights_sha256(poor.forget(method, least)) == weights_sha256(bench.original)
    expect(not same, method, "to change the model with no more than it needs", "the same weights")


def never_reads_what_an_earlier_request_forgot(method: Any, bench: Bench, folder: Path) -> None:
    """In three requests in a row, each on the model that the last one left, none reads a sample of an earlier one."""
    train, reads = counted(bench.train.select(bench.train.ids[:150]))
    session = Session.of(bench.trained_model(), train, holdout=bench.split.holdout)
    for number, ids in enumerate(train.ids[:45].reshape(3, 15), start=1):
        before, gone = reads(), set(session.forgotten.tolist())
        session = session.forget(ids, method, folder=folder / "requests", teachers=bench.teachers)
        read = set(reads() - before)
        expect(bool(read), method, f"request {number} to read samples", "none read")
        again = len(read & gone)
        expect(not again, method, f"request {number} to read nothing of earlier ones", f"{again} of their samples read")


def uses_no_label_unless_it_needs_labels(method: Any, bench: Bench, folder: Path) -> None:
    """Where `needs` is without "labels", the same weights come of wrong labels."""
    if "labels" in method.needs:
        return

    def wrong(samples: Samples) -> Samples:
        batch = samples.everything()
        return Samples.from_tensors(batch.x, (batch.y + 1) % bench.task.classes, ids=batch.ids)

    sets = (bench.split.forget, bench.split.retain, bench.split.holdout)
    forget, retain, holdout = (None if part is None else wrong(part) for part in sets)
    assert forget is not None
    split = Split(forget, retain, holdout)
    same = weights_sha256(bench.forget(method, split)) == bench.whole(method).weights
    expect(same, method, 'to use no label, as "labels" is not among its needs', "other weights from wrong labels")
