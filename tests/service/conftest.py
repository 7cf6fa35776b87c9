"""A project with requests in every state, who may call its service, and the service in this process."""

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from obliviate.project import Project
from obliviate.service.app import create_app
from service_support import begin, in_all_states, make_tokens


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A project that every test gets a copy of, and the texts of its tokens."""
    project = begin(tmp_path_factory.mktemp("service") / "project")
    in_all_states(project)
    project.ledger.close()
    return project.folder, make_tokens(project)


@pytest.fixture
def project(begun: tuple[Path, dict[str, str]], tmp_path: Path) -> Project:
    return Project.open(shutil.copytree(begun[0], tmp_path / "project"))


@pytest.fixture
def tokens(begun: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The texts of tokens, by their scope; of one that was revoked, one that is not known, and none."""
    return begun[1]


@pytest.fixture
def client(project: Project) -> TestClient:
    """Calls to the service; an error that it does not tell of itself is raised here."""
    return TestClient(create_app(project.folder), follow_redirects=False)
