"""The command line as a process: its start, its exit codes, its errors."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import COMMAND, Cli


def test_help_answers_at_once_and_without_torch() -> None:
    check = "import sys\ntry:\n    from obliviate.cli import main; main(['--help'])\nfinally:\n"
    check += "    print('HEAVY', [one for one in ('torch', 'numpy', 'scipy', 'matplotlib') if one in sys.modules])"
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "HEAVY []" in done.stdout
    assert min(times) < 0.5


@pytest.mark.parametrize(
    "arguments", [["forget"], ["train"], ["train", "--out", "x", "--epochs", "many"], ["audit", "-q"]]
)
def test_misused_options_are_errors_without_a_traceback(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*arguments)
    assert code in {1, 2}
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    command = [*COMMAND, "verify", "none.json", "--key", "none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: expected a public key in none, got ")
