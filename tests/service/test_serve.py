"""The process of the service: where it may listen, and the worker beside it."""

import time
from pathlib import Path

import pytest

from obliviate.errors import ProjectError
from obliviate.project import Project
from obliviate.service.serve import check
from obliviate.service.tokens import Tokens
from service_support import begin, running


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", ""])
def test_others_reach_nothing_that_no_token_keeps(tmp_path: Path, host: str) -> None:
    project = begin(tmp_path / "project")
    with pytest.raises(ProjectError, match="expected a token before others can reach the service"):
        check(project.folder, host, 8000)
    tokens = Tokens(project.keys)
    tokens.create("officer", ["read"])
    assert check(project.folder, host, 8000) == 1
    tokens.revoke("officer")
    with pytest.raises(ProjectError, match="expected a token"):
        check(project.folder, host, 8000)


def test_on_this_machine_no_token_is_needed_to_begin(tmp_path: Path) -> None:
    project = begin(tmp_path / "project")
    assert [check(project.folder, host, 0) for host in ("127.0.0.1", "::1", "localhost", "127.8.0.1")] == [0] * 4
    with pytest.raises(ProjectError, match="expected a port"):
        check(project.folder, "127.0.0.1", 65_536)
    with pytest.raises(ProjectError, match="expected a project"):
        check(tmp_path, "127.0.0.1", 8000)


def test_a_worker_runs_beside_the_service_and_ends_with_it(tmp_path: Path) -> None:
    from obliviate.worker import index

    project = Project.create(tmp_path / "project", source="digits", methods=("retrain",))
    path = project.folder / "obliviate.toml"
    text = path.read_text(encoding="utf-8").replace("# train_size = 20000", "train_size = 40")
    text = text.replace("# epochs = 20", "epochs = 1")
    path.write_text(text, encoding="utf-8")
    index(Project.open(project.folder))
    output: list[str] = []
    with running(project.folder, "--with-worker", output=output):
        for _ in range(600):
            if Project.open(project.folder).served is not None:
                break
            time.sleep(0.1)
        children = [child for child in Path("/proc").glob("[0-9]*/cmdline") if at_work(child, project.folder)]
        assert len(children) == 1
    assert Project.open(project.folder).served is not None
    assert not at_work(children[0], project.folder)
    assert "interrupted; run the same command again" in output[0]  # by which it gives its batch back; not killed


def at_work(command_line: Path, folder: Path) -> bool:
    """Whether a process is a worker of a project."""
    try:
        words = command_line.read_bytes().split(b"\0")
    except OSError:
        return False
    return b"work" in words and str(folder).encode() in words
