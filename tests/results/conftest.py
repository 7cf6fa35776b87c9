"""The content of a results.json."""

import pytest

from obliviate.results.attacks import AttackUsed
from obliviate.results.facts import DataFacts, Machine, ReferenceFacts, TaskFacts
from obliviate.results.findings import Controls, Floor, Settings, TwoSample
from obliviate.results.schema import Results
from written_results import model


@pytest.fixture
def results() -> Results:
    return Results(
        settings=Settings(
            confidence=0.95, margin=None, utility_margin=3.0, one_sided=False, cheap_attacks=False, references=8,
            forget=10, retain=20, unseen=20,
        ),
        attacks=(AttackUsed(name="rmia", title="RMIA", source="a paper", use="verdict", settings={}, fitted={}),),
        baseline="references",
        controls=Controls(
            passed=True, reason="", original=True, condemned=(), ceilings={}, samples_needed=None, models_needed=None
        ),
        floor=Floor(average_gap_mean=None, average_gap_max=None, ft_auc_min=49.0, ft_auc_max=51.0, retrained=0),
        two_sample=TwoSample(auc=None, p_value=None, differs=None),
        margin_bins=(0.0, 1.0),
        models=(model("fine_tune"),),
        obliviate="0.1.0", created="2026-11-21T05:00:00Z", seed=0,
        task=TaskFacts(kind="classification", right="the class is right", settings={"classes": 3}),
        data=DataFacts(name="rows", forget_rule="ids", train=30, forget=10, retain=20, holdout=0, test=20),
        data_sha256="0" * 64, recipe={"epochs": 3},
        references=ReferenceFacts(models=8, seconds=1.0, fingerprint="abc"),
        wall_seconds=1.0, peak_rss_mb=100.0, versions={}, machine=Machine(cpu="a", cores=2, system="Linux"),
        limits=("Nothing was proven.",),
    )  # fmt: skip
