"""The life of requests, without a model in it: order, addresses, refusals, and kills at any time."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forks import die, forked, forks
from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.errors import DataError, MethodError, WorkspaceError
from obliviate.requests import Request, Requests

Keep = Callable[..., str]


def served_once(folder: Path, keep: Keep) -> Requests:
    """An original, and a request for "a" with a model of one method."""
    requests = Requests(folder)
    keep(requests, requests.slot("original", None))
    requests.ask(Request(1, "ids", ["a"]))
    keep(requests, requests.slot("amun-0123", 1), "forgot a")
    return requests


def served_twice(folder: Path, keep: Keep) -> Requests:
    """A request for "b" after that."""
    requests = served_once(folder, keep)
    number, parent = requests.begins("1-amun-0123")
    requests.ask(Request(number, "ids", ["b"], parent))
    keep(requests, requests.slot("amun-4567", number), "forgot a and b")
    return requests


def test_every_request_has_a_folder_with_all_that_was_made_for_it(tmp_path: Path, keep: Keep) -> None:
    requests = served_twice(tmp_path, keep)
    assert [(asked.number, asked.ids, asked.after and asked.after.id) for asked in requests.all] == [
        (1, ["a"], None),
        (2, ["b"], "1-amun-0123"),
    ]
    assert [(model.id, model.slot.request, model.label) for model in requests.models()] == [
        ("original", None, "original"),
        ("1-amun-0123", 1, "amun"),
        ("2-amun-4567", 2, "amun #2"),
    ]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "events.jsonl",
        "models/original.json",
        "models/original.safetensors",
        "requests/0001/models/1-amun-0123.json",
        "requests/0001/models/1-amun-0123.safetensors",
        "requests/0001/request.json",
        "requests/0002/models/2-amun-4567.json",
        "requests/0002/models/2-amun-4567.safetensors",
        "requests/0002/request.json",
    ]
    assert requests.served(2).id == "1-amun-0123"
    assert [model.id for model in requests.models(2)] == ["2-amun-4567"]


def test_a_model_is_made_once_and_numbered_in_the_order_of_making(tmp_path: Path, keep: Keep) -> None:
    requests = served_twice(tmp_path, keep)
    assert keep(requests, requests.slot("amun-0123", 1), "another text") == "forgot a"
    keep(requests, requests.slot("ssd-89ab", 1), "by ssd")
    assert [model.manifest.number for model in requests.models()] == [1, 2, 4, 3]
    assert [model.id for model in requests.models(1)] == ["1-amun-0123", "1-ssd-89ab"]


def test_a_model_is_addressed_by_its_id_or_a_beginning_that_no_other_has(tmp_path: Path, keep: Keep) -> None:
    requests = served_twice(tmp_path, keep)
    keep(requests, requests.slot("amun-01ff", 1), "forgot a in another way")
    assert requests.begins(None) == (1, None)
    for text in ("1-amun-0123", "1-amun-012", "2-amun-4567", "2"):
        number, parent = requests.begins(text)
        assert parent is not None
        assert parent.id.startswith(text)
        assert number == int(text[0]) + 1
    refused = {
        "1-amun": r"\(1-amun-0123, 1-amun-01ff\), got '1-amun', with which 2 of them begin; write more of the id$",
        "amun": r"\(1-amun-0123, 1-amun-01ff, 2-amun-4567\), got 'amun'; name one of them with --after$",
        "": r"got ''; name one of them",
        "original": r"got 'original'; name one of them",
    }
    for text, message in refused.items():
        with pytest.raises(WorkspaceError, match=message):
            requests.begins(text)


def test_an_id_that_begins_another_is_that_of_its_model(tmp_path: Path, keep: Keep) -> None:
    requests = served_once(tmp_path, keep)
    keep(requests, requests.slot("amun-01234", 1), "another")
    _, parent = requests.begins("1-amun-0123")
    assert parent is not None
    assert parent.id == "1-amun-0123"


def test_a_request_has_one_forget_set_and_one_model_that_it_begins_from(tmp_path: Path, keep: Keep) -> None:
    requests = served_twice(tmp_path, keep)
    assert requests.ask(Request(1, "the same in other words", ["a"])).rule == "ids"
    with pytest.raises(WorkspaceError, match=r"the forget set that request 2 of .* from the start, got another"):
        requests.ask(Request(2, "ids", ["c"]))
    with pytest.raises(WorkspaceError, match=r"expected request 3 of .* next, got 5"):
        requests.ask(Request(5, "ids", ["c"]))
    keep(requests, requests.slot("ssd-89ab", 1), "by ssd")
    with pytest.raises(WorkspaceError, match=r"request 2 of .* to go on from 1-amun-0123, as .*, got 1-ssd-89ab"):
        requests.begins("1-ssd")
    assert len(requests.all) == 2


def test_a_model_that_contradicts_its_request_is_refused(tmp_path: Path, keep: Keep) -> None:
    requests = served_twice(tmp_path, keep)
    original, first, second = requests.models()
    for model in (original, first, second):
        requests.refuse_contradiction(model, 2)
    for changed, problem in (
        ({"ids": ["a", "c"]}, "it was trained on 1 of them"),
        ({"settings": first.manifest.settings | {"forget_sha256": "0" * 64}}, "it was made for others"),
    ):
        write_sealed_json(first.slot.manifest, read_sealed_json(first.slot.manifest) | changed)
        with pytest.raises(WorkspaceError, match=rf"the model amun to be one for .* request 1 .* {problem}"):
            requests.refuse_contradiction(requests.models(1)[0])
    write_sealed_json(original.slot.manifest, read_sealed_json(original.slot.manifest) | {"ids": ["b", "c"]})
    with pytest.raises(WorkspaceError, match=r"the model original .* it was not trained on 1 of them"):
        requests.refuse_contradiction(requests.models()[0], 1)


# ------------------------------------------------------------------------------------------- what is refused


def test_a_refused_request_leaves_an_event_and_no_hole(tmp_path: Path, keep: Keep) -> None:
    requests = served_once(tmp_path, keep)
    _, parent = requests.begins("1-amun")
    message = "expected a method with a holdout set, got amun without"

    def refuse() -> None:
        with requests.attempt():
            requests.ask(Request(2, "ids", ["b"], parent))
            raise MethodError(message)

    with pytest.raises(MethodError, match=message):
        refuse()
    assert len(requests.all) == 1
    assert [path.name for path in (tmp_path / "requests").iterdir()] == ["0001"]
    asked, refused = requests.log.events[-2:]
    assert (asked.kind, asked.facts["request"], asked.facts["after"]) == ("asked", 2, "1-amun-0123")
    assert refused.kind == "refused"
    assert refused.facts == {"request": 2, "error": "MethodError", "message": message}
    requests.ask(Request(2, "ids", ["c"], parent))  # its number is free
    assert requests.numbered().ids == ["c"]


def test_the_log_has_no_word_of_a_refusal_that_may_name_people(tmp_path: Path, keep: Keep) -> None:
    requests = served_once(tmp_path, keep)
    with pytest.raises(DataError, match="eve@"), requests.attempt():
        raise DataError("expected ids of the data, got 1 of 1 that are none: not known ('eve@example.org')")
    with pytest.raises(WorkspaceError), requests.attempt(private=True):
        raise WorkspaceError("expected what eve@example.org asked for, got another")
    assert [event.facts["error"] for event in requests.log.events[-2:]] == ["DataError", "WorkspaceError"]
    assert b"eve@example.org" not in requests.log.path.read_bytes()


def test_a_refusal_takes_back_no_request_that_something_came_of(tmp_path: Path, keep: Keep) -> None:
    requests = served_once(tmp_path, keep)
    _, parent = requests.begins("1-amun")

    def refuse() -> None:
        with requests.attempt():
            requests.ask(Request(2, "ids", ["b"], parent))
            keep(requests, requests.slot("amun-4567", 2), "forgot b")
            raise DataError("expected a measurement, got none")

    with pytest.raises(DataError), requests.attempt():
        raise DataError("expected another method, got this")
    with pytest.raises(DataError):
        refuse()
    assert len(requests.all) == 2
    assert "request" not in requests.log.events[-1].facts


def test_what_cannot_be_made_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    requests = Requests(tmp_path)
    slot = requests.slot("original", None)

    def make(work: Path) -> str:
        work.mkdir(parents=True)
        raise DataError("expected a finite loss, got NaN")

    with pytest.raises(DataError):
        requests.once(slot, make, save=lambda *_: pytest.fail("saved"), read=lambda: pytest.fail("read"))
    assert not slot.work.parent.exists()


# ------------------------------------------------------------------------------------------- kills

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}


def die_at(change: int) -> None:
    """End this process, as a kill does, before the change of this number to any file."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            seen += 1
            if seen == change:
                die()

    sys.addaudithook(hook)


def life(folder: Path, keep: Keep) -> None:
    """An original, a request, and another that is refused."""
    requests = served_once(folder, keep)
    if not any(event.kind == "refused" for event in requests.log.events):
        with suppress(DataError), requests.attempt():
            number, parent = requests.begins("1-amun")
            requests.ask(Request(number, "ids", ["b"], parent))
            raise DataError("expected a method, got none")


def dying_life(change: int, folder: Path, keep: Keep) -> None:
    die_at(change)
    life(folder, keep)


def state(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "events.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@forks
def test_killed_before_any_change_to_a_file_the_next_command_ends_the_same(
    tmp_path: Path, keep: Keep, unchecked: None
) -> None:
    life(tmp_path / "whole", keep)
    kills = 0
    for change in range(1, 1000):
        folder = tmp_path / str(change)
        folder.mkdir()
        code = forked(partial(dying_life, change, folder, keep)).code
        requests = Requests(folder)
        assert [asked.ids for asked in requests.all] in ([], [["a"]], [["a"], ["b"]])
        assert len(requests.models()) <= 2  # nothing that is there is half-written
        _ = requests.log.events
        life(folder, keep)
        with requests.held():
            pass
        if len(requests.all) == 2:  # killed after it was asked for and before it was refused
            assert requests.numbered().ids == ["b"]
        else:
            assert state(folder) == state(tmp_path / "whole")
        log = requests.log.events
        events = Counter((event.kind, event.facts.get("model", event.facts.get("request"))) for event in log)
        assert [count for (kind, _), count in events.items() if kind == "made"] == [1, 1]
        assert events["asked", 1] == 1
        assert not list(folder.rglob("work"))
        assert not list(folder.rglob(".*"))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills > 40, kills
