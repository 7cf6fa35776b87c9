"""What stands in a folder, told without torch and without touching it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obliviate._util.locks import locked
from obliviate.errors import MethodError, WorkspaceError
from obliviate.requests import Request, Requests
from obliviate.requests.status import status


@pytest.fixture
def requests(tmp_path: Path, keep: Callable[..., str]) -> Requests:
    requests = Requests(tmp_path)
    keep(requests, requests.slot("original", None))
    requests.ask(Request(1, "class 3", ["a", "b"]))
    keep(requests, requests.slot("amun-0123", 1))
    return requests


def test_requests_models_and_results_are_told(requests: Requests) -> None:
    requests.at(1).results.write_text("{}")
    (requests.at(1).work / "1-ssd-89ab").mkdir(parents=True)
    facts = status(requests.folder)
    assert facts["original"] == "original: trained on 4 samples in 1.5 s"
    (request,) = facts["requests"]
    (model,) = request.pop("models")
    assert request == {
        "number": 1,
        "rule": "class 3",
        "forget": 2,
        "after": None,
        "interrupted": ["1-ssd-89ab"],
        "results": str(requests.at(1).results),
        "report": None,
        "inspection": None,
    }
    assert (model["id"], model["label"], model["role"], model["seconds"]) == ("1-amun-0123", "amun", "unlearned", 1.5)
    assert [event["event"] for event in facts["events"]] == ["made", "asked", "made"]


def test_refusals_are_among_the_events(requests: Requests) -> None:
    with pytest.raises(MethodError), requests.attempt():
        raise MethodError("expected a retain set, got none; leave out --no-retain")
    assert status(requests.folder)["events"][-1]["message"] == "expected a retain set, got none; leave out --no-retain"


def test_who_works_there_is_told_and_left_alone(requests: Requests) -> None:
    assert status(requests.folder)["holder"] is None
    with locked(requests.folder):
        before = sorted(requests.folder.rglob("*"))
        assert "process " in status(requests.folder)["holder"]
        assert sorted(requests.folder.rglob("*")) == before


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="expected a folder, got no "):
        status(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_nothing_of_requests_imports_torch() -> None:
    modules = "obliviate.requests, obliviate.requests.status, obliviate._util.locks"
    check = f"import sys, {modules}; assert not {{'torch', 'scipy', 'sklearn', 'matplotlib'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
