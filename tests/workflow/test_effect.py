import copy
import json
from pathlib import Path

import pytest

from obliviate import workflow
from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.errors import CheckpointError
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow.effect import Effect, Part
from obliviate.workflow.models import read, save


def test_what_is_kept_reads_back_the_same(tiny_recipe: Recipe, three_classes: Classification, tmp_path: Path) -> None:
    part = Part(9, {"accuracy": 1.0}, {"accuracy": 0.5})
    effect = Effect({"forget": part}, "damaged", "why", {"learning_rate": 0.1})
    assert Effect.from_dict(json.loads(json.dumps(effect.to_dict()))) == effect
    model = workflow.TrainedModel(
        tiny_recipe.build(seed=0), three_classes, tiny_recipe, "unlearned", "m", 0, 1.0, effect=effect
    )
    path = tmp_path / "m.safetensors"
    save(path, model, data_sha256="", ids=[])
    assert read(path, three_classes, tiny_recipe)[0].effect == effect
    manifest = read_sealed_json(path.with_suffix(".json"))
    for damaged in ({"parts": 3}, {"parts": {"forget": {"samples": 1}}}, []):
        changed = copy.deepcopy(manifest)
        changed["settings"]["effect"] = damaged
        write_sealed_json(path.with_suffix(".json"), changed)
        with pytest.raises(CheckpointError, match="expected the utility before and after in the manifest"):
            read(path, three_classes, tiny_recipe)


def test_printing_it_takes_a_line_a_part() -> None:
    part = Part(9, {"r_squared": 0.9, "loss": 0.1, "recall_7": 1.0}, {"r_squared": -12345.0, "loss": 0.5})
    effect = Effect({"forget": part, "retain": part}, "damaged", "R² fell")
    assert str(effect).splitlines() == [
        "forget: R² 0.900 → −1.23e+04",
        "retain: R² 0.900 → −1.23e+04",
        "damaged: R² fell",
    ]
    assert repr(Effect({"forget": part})) == "Effect(forget: R² 0.900 → −1.23e+04)"
