"""A job: what another process needs to make a model of it, and what it refuses."""

import pickle
from pathlib import Path

import pytest

from obliviate.errors import AuditError
from obliviate.references.jobs import Job, make_elsewhere, pickled
from obliviate.training.compute import Compute, computing
from obliviate.training.recipe import Recipe


def test_a_job_that_is_not_the_one_that_was_begun_is_refused(job: Job, tmp_path: Path) -> None:
    sha256 = job.write(tmp_path)
    assert Job.read(tmp_path, sha256)[0].population.ids.tolist() == job.population.ids.tolist()
    (tmp_path / "job.pickle").write_bytes(pickle.dumps("something else"))
    with pytest.raises(AuditError, match=r"expected the job that was begun in .*, got another or none"):
        make_elsewhere(str(tmp_path), sha256, 0)


def test_other_processes_compute_with_what_was_asked_for_here(job: Job, tmp_path: Path) -> None:
    with computing(device="cpu", evaluation_batch=7) as asked:
        sha256 = job.write(tmp_path)
    assert Job.read(tmp_path, sha256)[1] == asked
    seen: list[Compute] = []

    def noting(*_: object, **__: object) -> None:
        seen.append(Compute.current())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("obliviate.references.jobs.make", noting)
        make_elsewhere(str(tmp_path), sha256, 0)
    assert seen == [asked]


def test_what_only_this_process_knows_is_not_sent_to_others() -> None:
    assert pickled(Recipe(epochs=3))
    assert not pickled(lambda: 0)
    main = type("Main", (), {"__module__": "__main__"})
    assert not pickled(main())
