"""A statement is made of JSON values alone."""

import json

from obliviate.certificate.statement import Statement


def test_a_statement_is_as_a_reader_sees_it(statement: Statement) -> None:
    values = statement.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert set(values) == {"_type", "subject", "predicateType", "predicate"}
