"""The audit on real models: every attack and verdict rejects what remembers or is ruined, and accepts a retrain.

`benchmarks/self_audit.py` is the same at length.
"""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from obliviate import workflow
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate, Pool
from obliviate.data.rules import random_ids
from obliviate.data.sources import EMBEDDED, load_data
from obliviate.data.split import Split
from obliviate.errors import AuditError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.results.model import ModelResult
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import Evaluation, TrainedModel
from versions import TESTED

# A perceptron learns its samples by heart in a fifth of the time of a convolutional network.
RECIPE = Recipe(model="mlp", model_options={"hidden": (128,)}, epochs=15, precision="float32")
TASK = Classification(classes=10)


class Case:
    """One request on shipped data, with everything that an audit could be shown."""

    def __init__(self, folder: Path) -> None:
        data = load_data(EMBEDDED)
        self.train = data.train.select(np.sort(np.random.default_rng(0).choice(data.train.ids, 1500, replace=False)))
        self.unseen = data.test.select(data.test.ids[:1500])
        self.split = Split.of(self.train, forget=random_ids(self.train, 0.2, seed=0))
        self.experiment = Experiment(TASK, RECIPE, self.train, self.unseen)
        self.pool = workflow.train_references(self.experiment, folder=folder, models=8, workers=0)
        self.evaluation = Evaluation.of(self.experiment, self.split, self.pool)
        original = workflow.train(self.experiment)
        ruined = copy.deepcopy(original.model)
        torch.manual_seed(0)
        with torch.no_grad():
            for one in ruined.parameters():
                one.add_(one.std() * torch.randn_like(one) if one.dim() > 1 else 0)
        untrained = RECIPE.build(seed=9).eval()
        self.shadows = workflow.train_shadows(
            self.experiment,
            self.pool,
            [(self.split, FineTune(epochs=1, learning_rate=1e-7))],
            workers=0,
        )
        of = self.evaluation.candidate
        self.original = of(original)
        # A method that hardly changes anything, and what it leaves in the references.
        self.unchanged = of(TrainedModel.given(original.model, TASK, role="unlearned", name="unchanged"), self.shadows)
        self.ruined = of(TrainedModel.given(ruined, TASK, role="unlearned", name="destroyed"))
        self.untrained = of(TrainedModel.given(untrained, TASK, role="unlearned", name="untrained"))
        self.retrained = [self._retrain(original, seed) for seed in (1, 2, 3)]

    def _retrain(self, original: TrainedModel, seed: int) -> Candidate:
        made = workflow.unlearn(original, self.split, Retrain(), seed=seed)
        return self.evaluation.candidate(made)

    def judge(
        self, *candidates: Candidate, pool: Pool | None = None, cheap_attacks: bool = False
    ) -> dict[str, ModelResult]:
        settings = AuditSettings(cheap_attacks=cheap_attacks)
        found = audit(candidates, pool or self.evaluation.pool, self.evaluation.audited, settings)
        return {one.name: one for one in found.models}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("references"))


@pytest.fixture(scope="module")
def with_retrained(case: Case) -> dict[str, ModelResult]:
    return case.judge(case.original, *case.retrained, case.ruined, case.untrained)


@pytest.fixture(scope="module")
def without_retrained(case: Case) -> dict[str, ModelResult]:
    return case.judge(case.original, case.retrained[0], case.ruined, case.untrained)


@pytest.mark.parametrize("baseline", ["with_retrained", "without_retrained"])
def test_what_remembers_or_is_ruined_is_rejected_and_a_retrain_accepted(baseline: str, request: pytest.FixtureRequest):
    models: dict[str, ModelResult] = request.getfixturevalue(baseline)
    verdicts = {name: one.verdict for name, one in models.items()}
    retrained = {name for name, one in models.items() if one.role == "retrained"}
    assert len(retrained) == (3 if baseline == "with_retrained" else 1)
    reasons = {name: one.reason for name, one in models.items()}
    if TESTED:
        assert verdicts == dict.fromkeys(retrained, "consistent with retraining") | {
            "original": "leaks",
            "destroyed": "utility lost",
            "untrained": "utility lost",
        }, reasons
    # How much such small data resolve differs from one torch to the next; who is guilty does not.
    rejected = {name for name, verdict in verdicts.items() if verdict in {"leaks", "over-unlearned", "utility lost"}}
    assert rejected == {"original", "destroyed", "untrained"}, reasons


def test_every_shadow_attack_alone_finds_the_original(with_retrained: dict[str, ModelResult]):
    original = with_retrained["original"]
    for attack in ("rmia", "lira", "correctness"):
        assert original.differences[attack].p_above < 1e-3
    for attack in ("rmia", "rmia_offline", "lira", "lira_offline"):
        retrained = [one.attacks[attack].ft.value for one in with_retrained.values() if one.role == "retrained"]
        assert original.attacks[attack].ft.low > max(retrained)


@pytest.mark.usefixtures("all_repeats")
def test_screens_find_the_original(case: Case):
    models = case.judge(case.original, case.retrained[0], cheap_attacks=True)
    for name in ("mia_loss", "mia_confidence", "svc_correctness", "svc_confidence"):
        found = {one.role: one.cheap_attacks[name].value for one in models.values()}
        assert found["original"] > found["retrained"] + 1, name


def test_the_most_exposed_samples_are_as_many_as_chance_makes_on_a_retrain(with_retrained: dict[str, ModelResult]):
    for one in with_retrained.values():
        share = one.exposure.shares["0.05"]
        if one.role == "retrained":
            assert share.low < 5
        if one.role == "original":
            assert share.low > 5
            assert one.exposure.samples[0].p <= one.exposure.samples[-1].p < 0.05


def test_distances_to_retrained_models_are_smallest_between_these(with_retrained: dict[str, ModelResult]):
    distances = {name: one.distances for name, one in with_retrained.items() if one.distances is not None}
    retrained = [name for name, one in with_retrained.items() if one.role == "retrained"]
    assert distances["original"].forget.js > max(distances[name].forget.js for name in retrained)
    assert distances["untrained"].unseen.agreement < 0.5


def test_u_lira_finds_a_method_that_does_nothing_and_not_a_retrain(case: Case):
    retrain = replace(case.retrained[0], role="unlearned", shadows=case.unchanged.shadows)
    for baseline in (case.retrained[1:], []):
        models = case.judge(case.original, *baseline, case.unchanged, retrain)
        unchanged, again = models["unchanged"], models[retrain.name]
        assert unchanged.differences["ulira"].p_above < 0.01
        assert unchanged.verdict == "leaks"
        assert again.differences["ulira"].p_above > 0.05
        assert again.verdict in {"consistent with retraining", "not resolvable with these data"}
        assert unchanged.klom is not None
        assert unchanged.klom.unlearned.mean > 0


def test_shadows_of_another_request_are_refused(case: Case):
    assert case.unchanged.shadows is not None
    shadows = replace(case.unchanged.shadows, forget=~case.unchanged.shadows.forget)
    with pytest.raises(AuditError, match="shadows of this forget set"):
        case.judge(case.original, replace(case.unchanged, shadows=shadows))


def test_four_references_still_convict_the_original(case: Case):
    few = Pool(logits=case.evaluation.pool.logits[:4], included=case.evaluation.pool.included[:4])
    models = case.judge(case.original, case.retrained[0], pool=few)
    assert models["original"].verdict == "leaks"
    assert models[case.retrained[0].name].verdict in {"consistent with retraining", "not resolvable with these data"}


def test_the_report_shows_the_most_exposed_samples(case: Case, tmp_path: Path):
    evaluation = case.evaluation
    result = evaluation.audit([case.original, *case.retrained[:2]], AuditSettings())
    path = tmp_path / "report.html"
    results = workflow.save_report(path, case.experiment, result, case.split, case.pool)
    worst = [sample.name for sample in result.models[0].exposure.samples]
    assert set(results.pictures) <= set(worst) <= set(case.split.forget.ids)
    assert results.pictures[worst[0]] in path.read_text(encoding="utf-8")
