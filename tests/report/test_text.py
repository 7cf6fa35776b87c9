from typing import Any

from obliviate.report.text import columns, competition, notes, rows
from obliviate.results.file import parse


def test_a_row_holds_the_figures_of_its_model_and_the_margin_of_its_verdict(full: dict[str, Any]):
    model = full["models"][1]
    model |= {"verdict": "consistent with retraining", "margin": 2.64, "average_gap": 1.234}
    model |= {"seconds": 12.3, "share_of_retraining": 0.456}
    row = dict(zip(columns(parse(full)), rows(parse(full))[1], strict=True))
    accuracy, attack = model["accuracy"], model["attacks"]["rmia"]["ft"]
    balanced = next(
        figure for figure in model["utility"] if (figure["figure"], figure["part"]) == ("balanced accuracy", "unseen")
    )
    assert row == {
        "model": "retrain 1",
        "forget %": f"{accuracy['forget']['value']:.1f}",
        "retain %": f"{accuracy['retain']['value']:.1f}",
        "test %": f"{accuracy['test']['value']:.1f}",
        "balanced %": f"{balanced['value']:.1f}",
        "FT-AUC ± 95 %": f"{attack['value']:.1f} ± {(attack['high'] - attack['low']) / 2:.1f}",
        "gap": "1.23",
        "seconds": "12.3",
        "cost": "46 %",
        "verdict": "consistent with retraining",
    }


def test_damage_and_failed_controls_are_said(full: dict[str, Any]):
    full["models"][-1] |= {"verdict": "leaks", "damage": "accuracy on retained samples 48.0 instead of 98.5"}
    full["controls"] |= {"passed": False, "reason": "these data cannot show forgetting"}
    assert rows(parse(full))[-1][-1] == "leaks; damaged"
    assert "warning: nobody can be acquitted, for these data cannot show forgetting." in notes(parse(full))
    assert "forgetful is damaged: accuracy on retained samples 48.0 instead of 98.5." in notes(parse(full))
    full["models"][-1]["verdict"] = "utility lost"
    assert rows(parse(full))[-1][-1] == "utility lost"


def test_what_is_not_known_is_left_blank(by_references: dict[str, Any]):
    by_references["models"][1]["seconds"] = None
    row = dict(zip(columns(parse(by_references)), rows(parse(by_references))[1], strict=True))
    assert row["gap"] == row["cost"] == row["seconds"] == ""


def test_notes_say_what_figures_are_compared_with_and_at_which_margin(full: dict[str, Any]):
    full["floor"] |= {"ft_auc_min": 49.44, "ft_auc_max": 50.8, "average_gap_mean": 0.456}
    full["two_sample"]["differs"] = False
    for model in full["models"]:
        model["margin"] = 2.64
    assert notes(parse(full)) == [
        "FT-AUC: how well forgotten samples are told from unseen ones; retrained models: 49.4–50.8.",
        "Verdicts at margin 2.6 points of AUC: smaller differences count as none.",
        "gap: average distance to the retrained models, which differ by 0.46 themselves. "
        "cost: share of the time of one retraining.",
    ]


def test_notes_without_retrained_models_name_the_references_and_warn_of_samples_that_differ(
    by_references: dict[str, Any],
):
    by_references["two_sample"]["differs"] = True
    lines = notes(parse(by_references))
    assert "references that never saw them: " in lines[0]
    assert not any("gap:" in line or "cost:" in line for line in lines)
    assert lines[-1].startswith("warning: forgotten and unseen samples differ by themselves")


def test_the_score_of_the_competition_is_told_with_its_floor_or_with_what_it_needs(full: dict[str, Any]):
    assert competition(parse(full)) == [
        "forgetful: forgetting quality F of the NeurIPS 2023 competition 0.125, where 0.188 is that of models that "
        "never had the samples, final score 0.115."
    ]
    full["models"][-1]["competition"]["score"] = None
    assert competition(parse(full))[0].endswith("that never had the samples.")
    full["models"][-1]["competition"]["quality"] = None
    needed = "forgetful: the score of the NeurIPS 2023 competition needs at least 64 references with their shadows."
    assert competition(parse(full)) == [needed]
    for model in full["models"]:
        model["competition"] = None
    assert competition(parse(full)) == []
