import re

import pytest

from obliviate.audit.record import missing


@pytest.mark.parametrize(
    ("unseen", "words"),
    [(2500, "0.0004 beside 2,500 unseen .* about 144 forget samples would do"), (19, "0.05 beside 19 .*more unseen")],
)
def test_what_is_missing_is_said_in_numbers(unseen: int, words: str) -> None:
    assert re.search(words, missing(unseen))
