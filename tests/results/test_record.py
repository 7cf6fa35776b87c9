import json

import pytest

from obliviate.results.record import SCHEMA, RecordAudit


def test_a_record_audit_is_what_it_was_after_reading() -> None:
    audit = RecordAudit(record="a", references=8, lead="rmia", models=(), missing="more")
    values = json.loads(json.dumps(audit.to_dict()))
    assert values["schema"] == SCHEMA
    assert RecordAudit.from_dict(values) == audit
    with pytest.raises(ValueError, match="schema"):
        RecordAudit.from_dict({**values, "schema": "obliviate.record/9"})
