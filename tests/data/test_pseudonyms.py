"""Pseudonyms: nothing that is written tells a name, and nothing that is computed is another."""

import io
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from obliviate.cli import main
from obliviate.data.pseudonyms import Key, Pseudonyms
from obliviate.data.rules import Chosen
from obliviate.data.samples import Samples
from obliviate.data.sources import load_data
from obliviate.errors import DataError, WorkspaceError
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.requests import Requests
from obliviate.training.recipe import Recipe
from obliviate.workspace import NewRequest, Workspace
from user_files import write_rows


@pytest.fixture(scope="module")
def rows(tiny: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training rows of 20 people, whose names and ids can be looked for."""
    ids = np.array([f"zebra-{name}" for name in tiny.ids])
    owners = np.array([f"walrus {place // 2}" for place in range(40)])
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    return write_rows(path, tiny, train_ids=ids[:40], test_ids=ids[40:], train_owner=owners)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    Key.create(tmp_path / "key")
    return tmp_path / "key"


def written(folder: Path) -> str:
    """Everything in all files of a folder, what is packed too."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            texts.append(content.decode("latin-1"))
            if path.suffix == ".npz":
                arrays = np.load(io.BytesIO(content[:-32]), allow_pickle=False)
                texts.append(" ".join(str(arrays[name].tolist()) for name in arrays))
    return "\n".join(texts)


def test_nothing_that_is_written_tells_a_name(rows: Path, key: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("plain", "veiled")}
    (tmp_path / "people.csv").write_text(
        "owner\n" + "".join(f"walrus {n}\n" for n in (*range(3, 9), 99)), encoding="utf-8"
    )
    for name, folder in folders.items():
        work = Workspace.create(
            folder, source=str(rows), recipe=tiny_recipe, seed=0, pseudonyms=key if name == "veiled" else None
        )
        work.train()
        with pytest.raises(DataError, match="zebra-nobody"):
            work.unlearn(GradientAscent(learning_rate=0.01), request=NewRequest(forget="zebra-nobody"))
        served = work.unlearn(
            GradientAscent(learning_rate=0.01),
            request=NewRequest(forget=f"owner:@{tmp_path / 'people.csv'}", unknown="skip"),
        )
        work.unlearn(
            GradientAscent(learning_rate=0.01), request=NewRequest(forget=["zebra-s00", "zebra-s30"], after=served.id)
        )
        work.audit(request=1, references=4, retrained=2, workers=0)
    plain, veiled = written(folders["plain"]), written(folders["veiled"])
    assert "walrus" in plain
    assert "zebra" in plain
    assert "walrus" not in veiled
    assert "zebra" not in veiled
    models = [
        [(model.manifest.method, model.manifest.weights_sha256) for model in Requests(folder).models()]
        for folder in folders.values()
    ]
    assert models[0] == models[1]
    of_list = Requests(folders["veiled"]).numbered(1)
    assert [entry["status"] for entry in of_list.asked] == ["heading", *["found"] * 6, "unknown"]
    assert len(of_list.ids) == 12
    assert len(Requests(folders["veiled"]).numbered(2).ids) == 2


def test_a_folder_is_opened_with_its_key_alone(
    rows: Path, key: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    Workspace.create(folder, source=str(rows), recipe=tiny_recipe, seed=0, pseudonyms=key)
    with pytest.raises(WorkspaceError, match=r"expected the key of the pseudonyms in .*; name its file with --pseudo"):
        Workspace.open(folder)
    other = tmp_path / "other"
    Key.create(other)
    with pytest.raises(WorkspaceError, match=r"expected the key that .* was begun with, got another in"):
        Workspace.open(folder, pseudonyms=other)
    monkeypatch.setenv("OBLIVIATE_PSEUDONYMS", str(key))
    assert len(Workspace.open(folder).data.train) == 40
    monkeypatch.delenv("OBLIVIATE_PSEUDONYMS")
    plain = tmp_path / "plain"
    Workspace.create(plain, source=str(rows), recipe=tiny_recipe, seed=0)
    with pytest.raises(WorkspaceError, match="expected a folder that was begun with pseudonyms, got"):
        Workspace.open(plain, pseudonyms=key)
    with pytest.raises(WorkspaceError, match="another pseudonyms"):
        Workspace.create(folder, source=str(rows), recipe=tiny_recipe, seed=0)


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    created = Key.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Key.create(path) == Key.read(path) == created
    assert created.secret.hex() not in repr(created)
    path.chmod(0o640)
    with pytest.raises(DataError, match="expected a key that only its owner may read, got mode 640"):
        Key.read(path)
    path.chmod(0o600)
    for text, words in (("ab" * 8, "16 bytes or more"), ("no key", "it is none"), ("", "16 bytes or more")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=words):
            Key.read(path)
    with pytest.raises(DataError, match="expected a key for pseudonyms"):
        Key.read(tmp_path / "none")
    with pytest.raises(DataError, match="expected to write a key"):
        Key.create(tmp_path / "none" / "key")


def test_names_go_and_come_back(rows: Path) -> None:
    pseudonyms = Pseudonyms(Key(os.urandom(32)), load_data(rows))
    veiled = pseudonyms.data
    assert len(set(veiled.train.ids) | set(pseudonyms.named.train.ids)) == 80
    back = pseudonyms.unveiled(veiled)
    assert back.train.ids.tolist() == pseudonyms.named.train.ids.tolist()
    assert back.metadata[back.owner or ""].tolist() == pseudonyms.named.metadata[back.owner or ""].tolist()
    assert pseudonyms.own(veiled.train.ids[:2]).tolist() == ["zebra-s00", "zebra-s01"]


@pytest.mark.parametrize(
    ("text", "rule", "kept"),
    [("random:0.1", "random 0.1", True), ("class:7", "class 7", True), ("ids:", "ids", True),
     ("where:name == 'Anna'", "where name == 'Anna'", False), ("owner:Anna", "owner Anna", False)],
)  # fmt: skip
def test_rules_that_may_name_people_are_told_by_a_hash(rows: Path, text: str, rule: str, kept: bool) -> None:
    pseudonyms = Pseudonyms(Key(b"0" * 16), load_data(rows))
    chosen = pseudonyms.veiled(Chosen(["zebra-s00"], rule), text=text)
    assert chosen.ids == [pseudonyms.key.of("id", "zebra-s00")]
    assert (chosen.rule == rule) == kept
    assert kept or "Anna" not in chosen.rule


def test_the_command_makes_the_key(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--out", str(tmp_path / "run"), "--pseudonyms", str(tmp_path / "key")]
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--data", str(rows), "--epochs", "1", *run])
    with pytest.raises(SystemExit, match="0"):
        main(["unlearn", "fine_tune", "--forget", "owner:walrus 1", "--json", *run])
    capsys.readouterr()
    assert "walrus" not in json.dumps(json.loads((tmp_path / "run/requests/0001/request.json").read_text("utf-8")))
