"""Reference models: each is trained on its half, and read back as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from obliviate.data.samples import Samples
from obliviate.errors import AuditError
from obliviate.references.jobs import Job
from obliviate.references.member import read_member
from obliviate.references.pool import ReferencePool
from obliviate.references.records import read_record
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.progress import silent
from obliviate.training.recipe import Recipe


def test_a_member_is_a_function_of_its_number_and_the_seed(
    job: Job, whole: ReferencePool, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    ((name, model, seconds),) = job.models_of(2, work={"name": tmp_path}, progress=silent)
    assert name == "name"
    record = read_record(whole.folder, "member", 2, whole.fingerprint)
    stored = read_member(whole.folder, 2, record.weights_sha256, tiny_recipe)
    assert weights_sha256(model) == weights_sha256(stored)
    assert seconds > 0


def test_a_stored_member_gives_the_stored_outputs(whole: ReferencePool, tiny: Samples, tiny_recipe: Recipe) -> None:
    record = read_record(whole.folder, "member", 1, whole.fingerprint)
    model = read_member(whole.folder, 1, record.weights_sha256, tiny_recipe)
    assert not model.training
    with torch.no_grad():
        logits = model(tiny.everything().x)
    torch.testing.assert_close(logits, torch.as_tensor(whole.logits[1]))


def test_weights_of_another_architecture_are_refused(whole: ReferencePool, tiny_recipe: Recipe) -> None:
    record = read_record(whole.folder, "member", 0, whole.fingerprint)
    wider = replace(tiny_recipe, model_options={"features": 6, "classes": 3, "hidden": (9,)})
    with pytest.raises(AuditError, match=r"expected the weights of a model of this recipe, got .*member-000"):
        read_member(whole.folder, 0, record.weights_sha256, wider)
