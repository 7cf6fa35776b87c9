"""`obliviate status`, and folders that are in use."""

import json
import subprocess
import sys
from pathlib import Path

from command_line import Cli, refused, snapshot


def test_the_status_tells_ids_that_requests_go_on_from_and_what_was_refused(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--set", "epochs=1", "--forget")
    assert "No model was made" not in cli("status", "--out", folder)[1]
    unlearned = json.loads(cli(*asked, "image-1,image-2", "--json")[1])["model"]
    assert cli(*asked, "image-2", "--after", unlearned)[0] == 1
    before = snapshot(folder)
    code, out, _ = cli("status", "--out", folder)
    assert code == 0
    assert "original: trained on 300 samples in " in out
    assert "Request 1: 2 samples (ids)" in out
    assert unlearned in out
    assert "Refused: 1; the last " in out
    assert "DataError: withheld, for it may name people" in out
    status = json.loads(cli("status", "--out", folder, "--json")[1])
    assert [model["id"] for model in status["requests"][0]["models"]] == [unlearned]
    assert snapshot(folder) == before
    refused(cli("status", "--out", folder / "none"), "a folder", "no ")


def test_a_command_in_a_folder_that_is_in_use_says_who_works_there(cli: Cli, folder: Path) -> None:
    code = "import sys, time; from pathlib import Path; from obliviate._util.locks import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        in_use = f"in use by process {holder.pid} (python, since"
        refused(cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-1"), "no other process", in_use)
        assert in_use[:12] in cli("status", "--out", folder)[1].lower()
    finally:
        holder.kill()
        holder.communicate()
    code, _, err = cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-1")
    assert code == 0
    assert f"note: the lock of process {holder.pid} (" in err
    assert "was taken over" in err
