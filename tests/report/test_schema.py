import json
import re
from pathlib import Path
from typing import Any

DOC = Path(__file__).parents[2] / "docs" / "results-schema.md"


OPTIONAL = {"command", "notes", "coin_flips", "planted_noise", "pictures", "sha256"}


def documented() -> set[str]:
    """Every path of the tables, those of models below `models[]`."""
    top, models = DOC.read_text(encoding="utf-8").split("Each of `models`:")
    found: set[str] = set()
    for text, prefix in ((top, ""), (models, "models[].")):
        for line in text.splitlines():
            if line.startswith("| `"):
                keys = re.findall(r"`([^`]+)`", line.split("|")[1])
                found |= {prefix + one for path in keys for one in expanded(path)}
    # A group is documented by its members.
    return {path for path in found if not any(one.startswith(f"{path}.") for one in found)}


def expanded(path: str) -> list[str]:
    """The paths that `a.{b,c}.{d,e}` stands for."""
    if not (found := re.search(r"\{([^}]*)\}", path)):
        return [path]
    return [one for part in found[1].split(",") for one in expanded(path[: found.start()] + part + path[found.end() :])]


def leaves(value: Any, path: str = "") -> set[str]:
    """The paths of all values in results; lists of figures are values."""
    if isinstance(value, dict) and value:
        # Keys of dictionaries such as "0.01" hold dots.
        return {leaf for key, one in value.items() for leaf in leaves(one, f"{path}.{key.replace('.', '·')}")}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {leaf for one in value for leaf in leaves(one, f"{path}[]")}
    return set() if isinstance(value, dict) else {path.removeprefix(".")}


def pattern(path: str) -> re.Pattern[str]:
    text = path.replace("[]", r"\[\]").replace(".", r"\.")
    # What is last may hold more of its own, as a setting that is a dictionary does.
    return re.compile(re.sub(r"<\w+>", r"[^.]+", re.sub(r"<\w+>$", ".+", text)))


def test_every_value_of_real_results_is_documented_and_every_documented_key_is_there(
    full: dict[str, Any], by_references: dict[str, Any]
):
    paths = {path: pattern(path) for path in documented() if path != "models"}
    assert len(paths) > 60
    known, partial = leaves(full), leaves(by_references)
    # A group that is null or an empty list stands for its members.
    starts = [one.split(".") for one in paths]
    unknown = {
        leaf
        for leaf in known | partial
        if not any(one.fullmatch(leaf) for one in paths.values())
        and not any(
            all(pattern(want).fullmatch(have) for want, have in zip(parts, leaf.split("."), strict=False))
            for parts in starts
            if len(parts) > len(leaf.split("."))
        )
    }
    assert unknown == set()
    missing = {path for path, one in paths.items() if not any(one.fullmatch(leaf) for leaf in known)}
    assert {path for path in missing if "difference" not in path} <= {"notes", "coin_flips", "planted_noise", "sha256"}
    assert all(path.endswith((".p_above", ".p_below", ".resolution")) for path in missing if "difference" in path)


def test_only_optional_keys_are_missing_without_retrained_models(by_references: dict[str, Any]):
    text = DOC.read_text(encoding="utf-8")
    assert all(f"`{key}`" in text for key in OPTIONAL)
    top = {re.split(r"[.\[]", path)[0] for path in documented()} - OPTIONAL
    assert top == set(by_references) - OPTIONAL
    of_models = {re.split(r"[.\[]", path.removeprefix("models[]."))[0] for path in documented() if "models[]" in path}
    assert all(set(model) == of_models for model in by_references["models"])


def test_results_are_json_without_nan(full: dict[str, Any]):
    assert json.loads(json.dumps(full, allow_nan=False)) == full
