import concurrent.futures

import pytest

from obliviate._util.imports import imported


def test_a_name_with_dots_is_followed() -> None:
    assert imported("concurrent.futures:Executor.submit") is concurrent.futures.Executor.submit


@pytest.mark.parametrize("path", ["nowhere:build", "math:", "math:nothing", "math", ":sin", "math:pi.nothing"])
def test_what_is_not_there_is_an_import_error(path: str) -> None:
    with pytest.raises(ImportError):
        imported(path)
