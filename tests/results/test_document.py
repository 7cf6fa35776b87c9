"""The documentation of results.json is what the types say."""

from pathlib import Path

from obliviate.results.document import json_schema, page
from obliviate.results.schema import Results

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run `python scripts/make_results_schema.py`"


def test_the_page_and_the_json_schema_are_current() -> None:
    assert (DOCS / "results-schema.md").read_text(encoding="utf-8") == page(), AGAIN
    assert (DOCS / "results.schema.json").read_text(encoding="utf-8") == json_schema(), AGAIN


def test_every_field_of_every_type_is_explained() -> None:
    schema = Results.model_json_schema()
    types = [schema, *(definition for definition in schema["$defs"].values() if definition.get("type") == "object")]
    assert len(types) > 20
    for definition in types:
        missing = [name for name, field in definition["properties"].items() if not field.get("description")]
        assert not missing, (definition["title"], missing)
        assert definition["description"], definition["title"]
