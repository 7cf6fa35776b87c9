"""Engines that a command starts itself are reached from this machine alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LISTENING = """
from pathlib import Path
from obliviate.references.executors.by_name import opened

def listening():
    places = set()
    v4, v6, v4_as_v6 = "0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                places.add((fields[1], fields[1].partition(":")[0] in {v4, v6, v4_as_v6}))
    return places

if __name__ == "__main__":
    before = listening()
    with opened(ENGINE) as executor:
        assert executor.submit(pow, 2, 5).result() == 32
        print([there for _, there in listening() - before])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="which ports are open is read from /proc")
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_what_a_command_starts_listens_on_the_loopback_alone(engine: str, tmp_path: Path) -> None:
    script = tmp_path / "listening.py"
    script.write_text(LISTENING.replace("ENGINE", repr(engine)), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    (line,) = done.stdout.strip().splitlines()[-1:]
    assert "True" in line
    assert "False" not in line
