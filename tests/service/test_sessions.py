"""Sessions: made by one key, ended by time, by another key, or by any change of the cookie."""

from pathlib import Path

import pytest

from obliviate.errors import ProjectError
from obliviate.service.sessions import FILE, HOURS, Sessions


def test_a_cookie_is_one_as_it_was_made_and_for_twelve_hours() -> None:
    now = [1_000_000_000.0]
    sessions = Sessions(bytes(32), clock=lambda: now[0])
    cookie = sessions.begin("0123456789abcdef")
    session = sessions.read(cookie)
    assert session is not None
    assert session.token == "0123456789abcdef"
    assert session.csrf not in cookie
    for place in range(len(cookie)):
        changed = cookie[:place] + ("0" if cookie[place] != "0" else "1") + cookie[place + 1 :]
        assert sessions.read(changed) is None, place
    assert Sessions(bytes(31) + b"1", clock=lambda: now[0]).read(cookie) is None
    assert sessions.begin("0123456789abcdef") != cookie
    now[0] += HOURS * 3600 + 1
    assert sessions.read(cookie) is None


def test_the_key_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    assert Sessions.at(tmp_path).key == Sessions.at(tmp_path).key
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    for text in ("", "00", "x" * 64):
        (tmp_path / FILE).write_text(text, encoding="utf-8")
        with pytest.raises(ProjectError, match="remove it"):
            Sessions.at(tmp_path)
