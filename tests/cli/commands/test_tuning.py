"""`obliviate unlearn --tune` and `--budget`: settings that are chosen."""

import json
from pathlib import Path

import pytest

from command_line import Cli, refused, snapshot
from obliviate.workspace import Workspace


def test_tuning_prints_every_trial_and_keeps_how_the_settings_were_chosen(cli: Cli, folder: Path) -> None:
    asked = (
        "unlearn",
        "fine_tune",
        "--out",
        folder,
        "--forget",
        "random:0.2",
        "--set",
        "learning_rate=3.0",
        "--set",
        "epochs=2",
    )
    before = snapshot(folder)
    refused(cli(*asked, "--tune", "1"), "a budget of at least 2 trials", "1")
    refused(cli("unlearn", "retrain", "--out", folder, "--forget", "random:0.2", "--tune", "3"), "to tune", "retrain")
    code, out, _ = cli(*asked, "--tune", "3", "--dry-run")
    assert code == 0
    plan = "Tuning: up to 3 trials around learning_rate=3, epochs=2, judged by 40 unseen samples"
    assert plan in " ".join(out.split())
    assert snapshot(folder) == before

    code, out, _ = cli(*asked, "--tune", "3", "--json")
    assert code == 0
    facts = json.loads(out)
    trials, chosen = facts["tuning"]["trials"], facts["tuning"]["chosen"]
    assert (len(trials), facts["tuning"]["judge"]) == (3, "40 unseen samples")
    assert trials[0]["settings"] == {"learning_rate": 3.0, "epochs": 2}
    assert trials[chosen]["score"]["total"] == min(trial["score"]["total"] for trial in trials if trial["score"])
    assert f"learning_rate={trials[chosen]['settings']['learning_rate']}," in facts["method"]
    (path,) = folder.rglob("models/1-fine_tune*.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest["settings"]["tuning"] == facts["tuning"]
    assert manifest["settings"]["method"]["settings"]["learning_rate"] == trials[chosen]["settings"]["learning_rate"]
    assert manifest["settings"]["tuned_from"]["settings"]["learning_rate"] == 3.0
    assert not list(folder.rglob("work"))

    after = snapshot(folder)
    code, out, _ = cli(*asked, "--tune", "3")
    assert (code, snapshot(folder)) == (0, after)
    rows = [line.split() for line in out.splitlines()]
    numbered = [row for row in rows if row and row[0] in {"1", "2", "3"}]
    assert [row[-1] == "chosen" for row in numbered] == [place == chosen for place in range(3)]
    assert "Tuned in " in out
    assert "fine_tune (tuned): done in" in out


def test_a_model_that_was_tuned_by_teachers_says_so(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.2", "--teachers", "4")
    Workspace.open(folder).teachers(4, workers=0)  # as the command does, in this process
    code, out, _ = cli(*asked, "--tune", "2", "--json")
    assert code == 0
    assert json.loads(out)["tuning"]["judge"] == "4 teachers and 40 unseen samples"
    (path,) = folder.rglob("models/1-fine_tune*.json")
    (pool,) = (folder / "teachers").iterdir()
    assert json.loads(path.read_text(encoding="utf-8"))["settings"]["teachers"] == pool.name
    assert cli(*asked, "--json")[0] == 0  # untuned, fine_tune needs no teachers
    assert len(list(folder.rglob("models/1-fine_tune*.json"))) == 2


def test_a_budget_makes_a_method_as_long_as_it_pays_for(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.2")
    epochs = Workspace.open(folder).recipe.epochs
    code, out, _ = cli(*asked, "--budget", "50%", "--json")
    unlearned = json.loads(out)
    assert code == 0
    assert f"epochs={epochs // 2}, " in unlearned["method"]
    share = (epochs // 2) / epochs
    assert unlearned["notes"] == {
        "budget": 0.5,
        "expected_share": pytest.approx(share, abs=0.01),
        "epochs": epochs // 2,
    }
    code, out, _ = cli(*asked, "--budget", "0.5")
    assert code == 0
    assert (
        f"budget: 50 % of a retraining, of which {100 * share:.0f} % were expected to be taken: epochs={epochs // 2}"
        in out
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget", "0"), "expected a share of a retraining such as 15% or 0.15, got '0'"),
        (("--budget", "some"), "expected a share of a retraining such as 15% or 0.15, got 'some'"),
        (("--budget", "0.1%"), "shortest run of fine_tune here, about"),
        (("--budget", "20%", "--tune", "2"), "expected trials or a budget, got both"),
        (("--budget", "20%", "--dry-run"), "expected --budget or --dry-run, got both"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_and_leaves_nothing(
    cli: Cli, folder: Path, options: tuple[str, ...], message: str
) -> None:
    before = snapshot(folder)
    code, _, err = cli("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.2", *options)
    assert code != 0
    assert message in " ".join(err.split())
    assert snapshot(folder) == before
