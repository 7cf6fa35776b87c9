"""What a request would cost is measured on what was done before, and nothing else is said of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kept_models import keep
from obliviate._util.files import write_sealed_json
from obliviate.data.lookup import spelling
from obliviate.errors import DataError
from obliviate.ledger import Outcome, Promotion
from obliviate.ledger.names import Sample
from obliviate.project import Project
from obliviate.requests import Request, Requests
from obliviate.training.slicing import visits_share

NAMES = [f"id-{place}" for place in range(1, 11)]
ORIGINAL = {"shards": 1, "slices": 1, "epochs": 3}


class Clock:
    """A time that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Ten training samples of ann and bob in turn, in a project that tries amun first."""
    folder = tmp_path / "project"
    Project.create(folder, source="rows.npz", methods=("amun", "sisa"))
    project = Project(folder, Project.open(folder).config, clock=Clock())
    of = project.pseudonyms.of

    def row(place: int) -> Sample:
        name, owner = f"id-{place}", "ann" if place % 2 else "bob"
        owners = of("owner", owner), of("owner spelled", spelling(owner))
        return Sample(
            of("sample", f"train {name}"), of("name", name), of("name spelled", spelling(name)), *owners, "train"
        )

    project.ledger.index([row(place) for place in range(1, 11)], data_sha256="d")
    return project


@pytest.fixture
def used(project: Project) -> Project:
    """The same after a training of 10 s, and a request for two samples: amun in 1 s and again in 3, retrained in 8."""
    keep(project.workspace, "original", None, seconds=10.0, ids=NAMES, recipe=ORIGINAL)
    promotion = Promotion("original", "run/models/original.safetensors", "f", "w", 0)
    project.ledger.begin_serving(promotion, code={})
    requests = Requests(project.workspace)
    requests.ask(Request(1, "ids", NAMES[:2]))
    for name, seconds in (("amun-1", 1.0), ("amun-2", 3.0), ("retrain-1", 8.0)):
        model = keep(project.workspace, name, 1, seconds=seconds, ids=NAMES[2:], recipe=ORIGINAL)
    write_sealed_json(requests.at(1).results, {"wall_seconds": 24.0})
    for member in range(4):
        path = project.workspace / "references" / f"member-{member:03d}.json"
        path.parent.mkdir(exist_ok=True)
        write_sealed_json(path, {"seconds": 5.0})
    project.submit(NAMES[:2])
    lease = project.ledger.claim()
    assert lease is not None
    assert isinstance(project.clock, Clock)
    project.clock.now += 40.0
    project.ledger.finish(lease, {1: Outcome("done")}, promote=Promotion(model, "f", "f", "w1", 1))
    return project


def test_before_anything_was_done_nothing_is_said_to_cost_anything(project: Project) -> None:
    costs = project.plan("id-3,id-4")
    assert [cost.what for cost in costs.methods] == ["amun", "sisa", "retrain"]
    everything = [costs.retraining, *costs.methods, *costs.evidence, *costs.batches]
    assert {(cost.seconds, cost.share, cost.measured_on) for cost in everything} == {(None, None, "not measured yet")}


def test_each_way_costs_what_it_took_before(used: Project) -> None:
    costs = used.plan(["id-3", "id-4", "id-5"])
    assert (costs.kind, costs.samples, costs.pending, costs.together) == ("ids", 3, 0, 1)
    amun, sisa, retrain = costs.methods
    assert (amun.seconds, amun.share, amun.measured_on) == (2.0, 0.25, "2 models, for 2 samples")
    assert (sisa.seconds, sisa.measured_on) == (None, "not measured yet")
    assert (retrain.seconds, retrain.share, retrain.measured_on) == (
        8.0,
        1.0,
        "1 retrained model, trained on 8 samples",
    )
    assert costs.retraining == retrain
    references, audit = costs.evidence
    assert (references.what, references.seconds) == ("references, 12 missing of 16", 60.0)
    assert references.measured_on == "4 references that are there"
    assert (audit.seconds, audit.share) == (24.0, 3.0)
    (batch,) = costs.batches
    assert (batch.seconds, batch.share, batch.measured_on) == (40.0, 5.0, "1 batch, from begin to served")


def test_requests_that_wait_share_a_batch_as_far_as_the_policy_lets_them(used: Project) -> None:
    for name in ("id-3", "id-4", "id-5"):
        used.submit([name])
    costs = used.plan("owner:ann")
    assert (costs.pending, costs.together) == (3, 4)
    assert [cost.seconds for cost in costs.batches] == [40.0, 10.0]
    toml = used.folder / "obliviate.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("# batch = 100 ", "batch = 1 "), encoding="utf-8")
    costs = Project.open(used.folder).plan("owner:ann")
    assert (costs.together, len(costs.batches)) == (1, 1)
    assert used.plan().together == 3


def test_nothing_is_filed_and_names_are_looked_up_as_submit_does(used: Project) -> None:
    before = used.ledger.head
    assert used.plan("owner:bob").counts == {"asked": 1, "found": 1}
    assert used.plan("owner:bob").samples == 4  # of five, one is forgotten
    assert used.plan("id-1").samples == 0
    assert used.plan("id-1").together == 0
    assert used.plan("class:1").samples is None
    with pytest.raises(DataError, match="1 not known"):
        used.plan("id-3,nobody")
    assert used.plan("id-3,nobody", unknown="skip").samples == 1
    assert used.ledger.head == before


def test_a_training_in_shards_costs_what_its_slices_hold(used: Project) -> None:
    sharded = {"shards": 3, "slices": 2, "epochs": 4}
    keep(used.workspace, "original", None, seconds=10.0, ids=NAMES, recipe=sharded)
    place = used.workspace / "checkpoints" / "a"
    place.mkdir(parents=True)
    write_sealed_json(place / "slices.json", {"seed": 7})
    cost = used.plan("id-3").methods[1]
    share, touched = visits_share(NAMES[2:], {"id-3"}, shards=3, slices=2, epochs=4, seed=7)
    assert touched == 1
    assert cost.seconds == round(10.0 * share, 3)
    assert "1 of 3 shards" in cost.measured_on
    assert used.plan("class:1").methods[1].seconds is None  # nobody knows yet which samples


def test_a_model_that_was_trained_elsewhere_is_no_measurement(project: Project) -> None:
    keep(project.workspace, "original", None, seconds=0.0, ids=NAMES, method="adopted", recipe=ORIGINAL)
    assert project.plan("id-3").retraining.seconds is None
    keep(project.workspace, "original", None, seconds=12.0, ids=NAMES, recipe=ORIGINAL)
    retraining = project.plan("id-3").retraining
    assert (retraining.seconds, retraining.measured_on) == (12.0, "1 original, trained on 10 samples")


def test_the_command_says_on_what_every_figure_was_measured(used: Project) -> None:
    code = "import sys; from obliviate.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    words = [sys.executable, "-c", code, "plan", "id-3", "--project", str(used.folder)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert printed.startswith("asked 1, found 1: 1 samples; nothing was filed; 0 requests wait")
    row = next(line for line in printed.splitlines() if line.strip().startswith("amun"))
    assert row.split() == ["amun", "2.0", "s", "25.0", "%", "2", "models,", "for", "2", "samples"]
    parsed = json.loads(subprocess.run([*words, "--json"], check=True, capture_output=True, text=True).stdout)
    assert parsed == json.loads(json.dumps(used.plan("id-3").to_dict()))
