"""Requests are looked up and entered without the data, without torch, and without anybody's name."""

import subprocess
import sys
from pathlib import Path

import pytest

from obliviate.data.lookup import spelling
from obliviate.errors import DataError, LedgerError, ProjectError
from obliviate.ledger.names import Sample
from obliviate.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Ten training samples, 1 … 10, of ann and bob in turn, and one test sample of eve."""
    project = Project.create(tmp_path / "project", source="rows.npz")
    of = project.pseudonyms.of

    def row(name: str, owner: str, part: str = "train") -> Sample:
        owners = of("owner", owner), of("owner spelled", spelling(owner))
        return Sample(
            of("sample", f"{part} {name}"), of("name", name), of("name spelled", spelling(name)), *owners, part
        )

    rows = [row(str(place), "ann" if place % 2 else "bob") for place in range(1, 11)]
    project.ledger.index([*rows, row("99", "eve", "test")], data_sha256="d")
    return project


def test_names_are_found_in_any_spelling_and_counted(project: Project) -> None:
    submitted = project.submit("1, 02,3.0,3,x", unknown="skip")
    assert submitted.counts == {"asked": 5, "found": 3, "unknown": 1, "duplicate": 1}
    assert submitted.names[-1] == ("x", "unknown")
    assert len(project.ledger.asked_by(1)) == 3


def test_names_that_the_data_do_not_have_are_refused_before_anything_is_entered(
    project: Project, unchecked: None
) -> None:
    with pytest.raises(DataError, match=r"expected ids of the data, got 2 of 3 that are none: 1 of the test set"):
        project.submit("1,99,x")
    with pytest.raises(DataError, match="expected owners of the data, got 1 of 1 that are none"):
        project.submit("owner:nobody")
    with pytest.raises(DataError, match="expected unknown names to be dealt with by"):
        project.submit("1", unknown="guess")  # pyright: ignore[reportArgumentType]
    assert project.status()["requests"]["pending"] == 0


def test_an_owner_stands_for_all_that_is_theirs(project: Project, tmp_path: Path) -> None:
    project.submit("owner:ann")
    assert len(project.ledger.asked_by(1)) == 5
    assert project.ledger.asked_by(1, "owner") == [project.pseudonyms.of("owner", "ann")]
    people = tmp_path / "people.csv"
    people.write_text("name\nann\nbob\n", encoding="utf-8")
    submitted = project.submit(f"owner:@{people}")
    assert submitted.counts == {"asked": 3, "found": 2, "unknown": 0, "heading": 1}
    assert len(project.ledger.asked_by(2)) == 10


def test_a_list_of_ids_may_be_a_file(project: Project, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("id\n1\n2\n", encoding="utf-8")
    assert project.submit(f"@{ids}").counts == {"asked": 3, "found": 2, "unknown": 0, "heading": 1}


def test_the_same_is_asked_once_however_it_is_written(project: Project) -> None:
    first = project.submit("1,2").receipt
    again = project.submit(["02", "1.0"]).receipt
    assert (again.request, again.new) == (first.request, False)
    rule = project.submit("class:7").receipt
    assert project.submit("class:7").receipt == type(rule)(rule.request, "pending", new=False)


def test_a_key_names_one_request(project: Project) -> None:
    first = project.submit("1", key="ticket 17").receipt
    assert project.submit("1", key="ticket 17").receipt.request == first.request
    with pytest.raises(LedgerError, match="choose another --key"):
        project.submit("2", key="ticket 17")
    with pytest.raises(LedgerError, match="choose another --key"):
        project.submit("class:7", key="ticket 17")
    with pytest.raises(ProjectError, match="expected a key of 1 to 1,000 letters"):
        project.submit("1", key="")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\nb", "'; DROP TABLE requests; --", "\0"])
def test_a_name_is_never_a_path_or_code(project: Project, name: str) -> None:
    before = sorted(project.folder.rglob("*"))
    with pytest.raises(DataError, match="not known"):
        project.submit([name])
    project.submit("1", key=name)
    assert sorted(project.folder.rglob("*")) == before
    project.verify()


def test_two_projects_do_not_share_pseudonyms(project: Project, tmp_path: Path) -> None:
    other = Project.create(tmp_path / "other", source="rows.npz")
    assert other.pseudonyms.of("owner", "ann") != project.pseudonyms.of("owner", "ann")


def test_beginning_again_changes_nothing(project: Project) -> None:
    files = {
        path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file() and "ledger" not in path.name
    }
    again = Project.create(project.folder)
    assert {path: path.read_bytes() for path in files} == files
    assert again.submit("1").receipt.request == 1
    with pytest.raises(ProjectError, match=r"expected no obliviate.toml in"):
        Project.create(project.folder, source="rows.npz")


def test_keys_are_for_their_user_alone(project: Project) -> None:
    assert project.keys.stat().st_mode & 0o777 == 0o700
    assert (project.keys / "pseudonyms.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["submit('1')", "status()", "verify()", "due()", "served"])
def test_torch_and_numpy_are_not_imported(project: Project, call: str) -> None:
    code = (
        "import sys; from obliviate.project import Project; project = Project.open(sys.argv[1]); "
        f"project.{call}; assert not {{'torch', 'numpy', 'alembic', 'pydantic'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, project.folder], check=True)
