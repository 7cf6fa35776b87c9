"""What a folder carries of forgotten samples, and what is left of it after a purge."""

import json
import shutil
from pathlib import Path

import pytest

from obliviate.cli import main
from obliviate.data.samples import Samples
from obliviate.errors import WorkspaceError
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.requests import Requests
from obliviate.traces import inventory, purge, purgeable
from obliviate.traces.inventory import Trace
from obliviate.training.recipe import Recipe
from obliviate.workspace import NewRequest, Workspace
from user_files import write_rows

FIRST, SECOND = [f"s{i:02d}" for i in range(12)], [f"s{i:02d}" for i in range(12, 20)]
THIRD = [f"s{i:02d}" for i in range(20, 30)]


@pytest.fixture(scope="module")
def audited(tiny: Samples, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two requests, the first of which was audited."""
    root = tmp_path_factory.mktemp("traces")
    data = write_rows(root / "rows.npz", tiny)
    work = Workspace.create(root / "run", source=str(data), recipe=tiny_recipe, seed=0)
    work.train()
    served = work.unlearn(GradientAscent(learning_rate=0.01), request=NewRequest(forget=FIRST))
    work.audit(references=4, retrained=2, workers=0)
    work.unlearn(GradientAscent(learning_rate=0.01), request=NewRequest(forget=SECOND, after=served.id))
    return work.folder


@pytest.fixture
def folder(audited: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audited, tmp_path / "run"))


def by_path(traces: list[Trace]) -> dict[str, Trace]:
    return {trace.path: trace for trace in traces}


def test_every_file_is_listed_with_what_it_carries(audited: Path) -> None:
    traces = by_path(inventory(audited))
    files = {path.relative_to(audited).as_posix() for path in audited.rglob("*") if path.is_file()}
    assert set(traces) == files
    assert (traces["models/original.safetensors"].carries, traces["models/original.safetensors"].samples) == (
        "knows",
        20,
    )
    assert traces["requests/0001/request.json"].carries == "names"
    for path, trace in traces.items():
        if path.startswith("requests/0001/models/") and path.endswith(".safetensors"):
            assert (trace.carries, trace.samples) == ("knows", len(SECOND))  # forgotten after it was made
        if path.startswith("requests/0002/models/") and path.endswith(".safetensors"):
            assert trace.carries == "nothing"
        if path.endswith(".logits.safetensors"):
            assert trace.carries == "holds"
        assert trace.kind != "other"


def test_up_to_a_request_later_ones_play_no_part(audited: Path) -> None:
    for path, trace in by_path(inventory(audited, request=1)).items():
        if path.startswith("requests/") and path.endswith(".safetensors"):
            assert trace.carries == "nothing"


def test_after_a_purge_nothing_holds_or_knows_them(folder: Path) -> None:
    before = {trace.path for trace in inventory(folder)}
    planned = purgeable(folder)
    assert {trace.path for trace in inventory(folder)} == before
    done = purge(folder)
    assert done == planned
    assert {trace.path for trace in done.removed} >= {"models/original.safetensors"}
    left = by_path(inventory(folder))
    assert {trace.carries for trace in left.values()} == {"names", "nothing"}
    assert not (folder / "references").exists() or not list((folder / "references").rglob("*.safetensors"))
    weights = [path for path in left if path.endswith(".safetensors")]
    assert [path.split("/")[1] for path in weights] == ["0002"]
    assert Requests(folder).log.events[-1].kind == "purged"
    assert purge(folder).removed == ()
    assert {trace.path for trace in inventory(folder)} == set(left)


def test_the_model_that_serves_goes_on_after_a_purge(folder: Path) -> None:
    purge(folder, keep=["references"])
    work = Workspace.open(folder)
    third = work.unlearn(
        GradientAscent(learning_rate=0.01),
        request=NewRequest(forget=[f"s{i:02d}" for i in range(20, 30)], after=Requests(folder).models(2)[0].id),
    )
    assert third.id.startswith("3-gradient_ascent")
    with pytest.raises(WorkspaceError, match=r"expected .*original.safetensors, got none: it was purged at "):
        work.train()
    assert work.audit(request=3, references=4, retrained=2, workers=0).data.forget == 10


def test_kinds_that_are_kept_stay(folder: Path) -> None:
    done = purge(folder, keep=["original", "references"])
    assert (folder / "models/original.safetensors").exists()
    assert list((folder / "references").rglob("*.logits.safetensors"))
    assert {trace.kind for trace in done.removed} == {"models"}
    with pytest.raises(WorkspaceError, match=r"expected kinds of files to keep among original, .*, got 'record'"):
        purge(folder, keep=["record"])


def test_pictures_leave_results_and_report(folder: Path) -> None:
    from obliviate.results import file

    path = folder / "requests/0001/results.json"
    picture = "data:image/png;base64,iVBORw0KGgo="
    file.write(path, file.read(path).model_copy(update={"pictures": {"s01": picture}}))
    assert by_path(inventory(folder))["requests/0001/report.html"].carries == "holds"
    purge(folder)
    assert file.read(path).pictures == {}
    assert "base64" not in (folder / "requests/0001/report.html").read_text("utf-8")


def test_an_interrupted_purge_is_finished_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, removed = Path.unlink, [0]

    def interrupted(self: Path, **options: bool) -> None:
        if self.suffix == ".safetensors":
            removed[0] += 1
            if removed[0] == 3:
                raise KeyboardInterrupt
        unlink(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            purge(folder)
    purge(folder)
    assert {trace.carries for trace in inventory(folder)} == {"names", "nothing"}


def test_a_folder_without_requests_has_nothing_to_purge(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="expected a folder made by `obliviate train`"):
        purge(tmp_path)
    assert not (tmp_path / "lock").exists()
    shutil.rmtree(folder / "requests")
    with pytest.raises(WorkspaceError, match=r"expected a request in .* whose samples are to be purged, got none"):
        purge(folder)
    assert {trace.carries for trace in inventory(folder)} == {"nothing"}


def test_the_commands_list_before_they_remove(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["inventory", str(folder)])
    assert "models/original.safetensors" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(["purge", str(folder)])
    printed = capsys.readouterr()
    assert "models/original.safetensors" in printed.out
    assert "got none; say --yes" in printed.err
    assert (folder / "models/original.safetensors").exists()
    with pytest.raises(SystemExit, match="0"):
        main(["purge", str(folder), "--yes", "--json"])
    removed = [trace["path"] for trace in json.loads(capsys.readouterr().out)["removed"]]
    assert "models/original.safetensors" in removed
    with pytest.raises(SystemExit, match="0"):
        main(["purge", str(folder)])
    assert "Nothing to remove" in capsys.readouterr().out
