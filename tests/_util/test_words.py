"""Names in messages are few, and quoted."""

import numpy as np

from obliviate._util.words import shown


def test_a_few_names_are_quoted_and_the_others_counted() -> None:
    assert shown(["a", "b"]) == "'a', 'b'"
    assert shown(np.array(["a", "b", "c", "d", "e"]), most=2) == "'a', 'b' and 3 more"
