"""An obliviate.toml is read as it is meant, or refused with the line of what is wrong."""

from pathlib import Path

import pytest

from obliviate.errors import ProjectError
from obliviate.project import Config
from obliviate.project.config import inside, template


def test_what_is_left_out_is_the_default() -> None:
    config = Config.parse('[data]\nsource = "digits"')
    assert (config.methods, config.references, config.days, config.url) == (("amun", "retrain"), 16, 30.0, "sqlite")
    assert config.action("leaks") == config.action("not resolvable with these data") == "next"
    assert config.action("consistent with retraining") == "promote"


def test_retraining_is_always_the_last_method() -> None:
    assert Config.parse('[data]\nsource = "d"\n[method]\ntry = ["scrub"]').methods == ("scrub", "retrain")
    assert Config.parse('[data]\nsource = "d"\n[method]\ntry = ["retrain"]').methods == ("retrain",)


BAD = {
    '[data]\nsource = "d"\n[service]\nnotify = ["http://example.org/"]': "line 4: expected a list of addresses",
    '[data]\nsource = "d"\n[service]\nnotify = ["https://a:b@example.org/"]': "line 4: expected a list of addresses",
    '[data]\nsource = "d"\n[service]\nrate = 0': "line 4: expected a number of calls a minute for rate of [service]",
    '[data]\nsource = "d"\n[service]\nbody = 10': "line 4: expected a number of bytes, at least 1024 for body",
    'source = "d"': "line 1: expected a table of ",
    "[data]\nsource = 3": "line 2: expected a shipped set, a file or a folder for source of [data], got 3",
    '[data]\nsource = "d"\nowners = "x"': "line 3: expected a key of source, owner, id",
    '[data]\nsource = "d"\n\n[recipe]\n# a comment\nepochs = 0': "line 6: expected a setting of a recipe for epochs of",
    '[data]\nsource = "d"\n[recipe]\nepoch = 3': "line 4: expected a key of seed, epochs",
    '[data]\nsource = "d"\n[recipe]\nseed = -1': "line 4: expected a whole number, 0 or more for seed",
    '[data]\nsource = "d"\n[model]\nname = "../x.py"': "line 4: expected an architecture, or module:function for name",
    '[data]\nsource = "d"\n[method]\ntry = ["a b"]': "line 4: expected a list of names of methods",
    '[data]\nsource = "d"\n[method]\ntry = ["retrain", "amun"]': "line 4: expected retrain as the last method",
    '[data]\nsource = "d"\n[method.scrub]\nepochs = 3': "line 3: expected settings of a method that is tried",
    '[data]\nsource = "d"\n[audit]\nreferences = 5': "line 4: expected an even number of models, at least 4",
    '[data]\nsource = "d"\n[audit]\nreferences = 2': "line 4: expected an even number of models, at least 4, or 0",
    '[data]\nsource = "d"\n[recipe]\ntrain = "unknown"': "line 4: expected a setting of a recipe for train of",
    '[data]\nsource = "d"\n[model]\nweights = ""': "line 4: expected a file of weights for weights of [model]",
    '[data]\nsource = "d"\n[policy]\nmodel_signature = 1': "line 4: expected true or false for model_signature",
    '[data]\nsource = "d"\n[audit]\nretrained = 1': "line 4: expected a number of models, at least 2",
    '[data]\nsource = "d"\n[policy]\n"leaks" = "ignore"': 'line 4: expected "promote" or "next" for leaks of [policy]',
    '[data]\nsource = "d"\n[policy]\nbatch = 0': "line 4: expected a number of requests, at least 1",
    '[data]\nsource = "d"\n[retention]\ndays = true': "line 4: expected a number of days for days of [retention]",
    '[data]\nsource = "d"\n[ledger]\nurl = "mysql://x"': 'line 4: expected "sqlite", or a URL that begins with',
    '[data]\nsource = "d"\n[nothing]\nx = 1': "line 3: expected a table of ",
    "[model]\n": "line 1: expected where the data are for source of [data]",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_told_by_its_line(text: str) -> None:
    with pytest.raises(ProjectError) as refusal:
        Config.parse(text)
    line, _, expected = BAD[text].rpartition(": expected ")
    assert str(refusal.value).startswith(f"expected {expected.removeprefix('expected ').partition(', got')[0]}")
    assert f", {line}, got " in str(refusal.value)


def test_what_is_no_toml_is_told_by_its_line() -> None:
    with pytest.raises(ProjectError, match=r"expected TOML in obliviate.toml, got .*line 1"):
        Config.parse("[data\n")


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="make one with `obliviate init`"):
        Config.read(tmp_path / "obliviate.toml")
    (tmp_path / "obliviate.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectError, match="in UTF-8"):
        Config.read(tmp_path / "obliviate.toml")


@pytest.mark.parametrize("source", ["rows.npz", 'a "quoted" name', "C:\\data", "two\nlines", "ünï"])
def test_a_new_file_is_one_that_is_read(source: str) -> None:
    text = template(source, model="my_models:build", owner="customer", methods=("scrub", "retrain"))
    config = Config.parse(text)
    assert (config.source, config.model, config.owner) == (source, "my_models:build", "customer")
    assert config.methods == ("scrub", "retrain")


def test_every_default_in_a_new_file_is_the_default() -> None:
    lines = template("digits").splitlines()
    text = "\n".join(line.removeprefix("# ") if " = " in line and "id =" not in line else line for line in lines[3:])
    changed = {"train_size", "holdout_size", "owner", "options", "settings", "margin", "recipe", "model", "policy"}
    changed |= {"weights"}
    default, uncommented = (
        Config.parse('[data]\nsource = "digits"'),
        Config.parse(text.replace("[method.", "#[method.").replace("epochs = 3", "")),
    )
    for name in set(vars(default)) - changed:
        assert getattr(uncommented, name) == getattr(default, name), name
    assert set(uncommented.policy.values()) == {"next"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", "a\0b", "..\\x"])
def test_a_path_that_leads_out_of_the_project_is_refused(name: str) -> None:
    with pytest.raises(ProjectError, match="expected a path below the project"):
        inside(Path("/project"), name)


def test_the_mark_that_editors_of_windows_write_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "obliviate.toml"
    path.write_text('[data]\nsource = "digits"\n', encoding="utf-8-sig")
    marked = Config.read(path)
    path.write_text('[data]\nsource = "digits"\n', encoding="utf-8")
    assert marked == Config.read(path)
