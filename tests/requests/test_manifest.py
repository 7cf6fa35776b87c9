"""What a model says of itself, without torch; `tests/training/test_checkpoint.py` has what is wrong with a file."""

from dataclasses import replace

import pytest

from obliviate.requests import Manifest

MANIFEST = Manifest(
    role="unlearned",
    method="AMUN(epochs=3)",
    seed=4,
    recipe={},
    data_sha256="",
    ids=[],
    settings={},
    seconds=0.0,
    weights_sha256="",
    file_sha256="",
)


@pytest.mark.parametrize(
    ("changed", "label"),
    [
        ({}, "AMUN"),
        ({"settings": {"name": "amun (tuned)"}}, "amun (tuned)"),
        ({"role": "retrained", "method": "Retrain()"}, "Retrain (seed 4)"),
        ({"role": "retrained", "settings": {"name": "retrain (seed 1)"}}, "retrain (seed 1)"),
    ],
)
def test_a_label_is_the_name_or_the_method(changed: dict, label: str) -> None:
    assert replace(MANIFEST, **changed).label == label
