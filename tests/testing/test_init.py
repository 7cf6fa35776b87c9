"""The contract as a whole."""

from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from defective_methods import DEFECTS
from obliviate import testing
from obliviate.testing import (
    Bench,
    Check,
    ContractError,
    check_method,
    engine,
    interruptions,
    presentation,
    samples,
    weights,
)
from sound_method import Sound


@pytest.mark.parametrize("check", testing.CHECKS, ids=attrgetter("__name__"))
def test_a_sound_method_passes(check: Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(
    ("check", "cls", "message"), DEFECTS, ids=[f"{check.__name__}-{cls.__name__}" for check, cls, _ in DEFECTS]
)
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(testing.CHECKS)


def test_check_method_runs_every_check_in_an_empty_folder_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, str, Path]] = []

    def noting(name: str) -> Check:
        def check(method: Any, bench: Bench, folder: Path) -> None:
            assert not list(folder.iterdir())
            runs.append((name, repr(method), folder))

        return check

    monkeypatch.setattr(testing, "CHECKS", [noting(check.__name__) for check in testing.CHECKS])
    check_method(Sound, bench)
    assert len({folder for _, _, folder in runs}) == len(runs) == len(testing.CHECKS)
    assert {method for _, method, _ in runs} == {repr(Sound())}


def test_check_method_passes_on_what_a_check_finds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "CHECKS", testing.CHECKS[-1:])
    check_method(Sound, bench)
    with pytest.raises(ContractError, match="to refuse"):
        check_method(type("Lenient", (Sound,), {"__post_init__": lambda self: None}), bench)


def test_check_method_takes_a_method_as_it_was_set(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []
    monkeypatch.setattr(testing, "CHECKS", [lambda method, bench, folder: held.append(method)])
    method = Sound(epochs=2)
    check_method(method, bench)
    assert held == [method]


def test_every_check_belongs_to_a_family() -> None:
    families = (engine, interruptions, presentation, samples, weights)
    assert {check.__module__ for check in testing.CHECKS} == {family.__name__ for family in families}
