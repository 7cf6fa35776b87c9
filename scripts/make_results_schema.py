"""Make the documentation of results.json from its types: `docs/results-schema.md` and `docs/results.schema.json`.

python scripts/make_results_schema.py
"""

from pathlib import Path

from obliviate.results.document import json_schema, page

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    (DOCS / "results-schema.md").write_text(page(), encoding="utf-8")
    (DOCS / "results.schema.json").write_text(json_schema(), encoding="utf-8")
