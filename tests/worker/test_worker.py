"""From a request to a certificate and a model that serves, once each, whatever comes between."""

import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from obliviate._util import files
from obliviate.certificate import model_signature, read, verify
from obliviate.cli import main
from obliviate.errors import LedgerError, ProjectError, UnavailableError, WorkspaceError
from obliviate.ledger import Lease, Ledger
from obliviate.project import Project
from obliviate.requests import Requests
from obliviate.results.record import RecordAudit
from obliviate.service.app import create_app
from obliviate.service.tokens import Tokens
from obliviate.training.progress import silent
from obliviate.worker import work, worker
from obliviate.worker.lease import kept_up
from obliviate.workspace import Workspace
from postgres_support import server_program
from service_support import bearing
from worker_support import begin

NINE = "s03,s04,s05,s06,s07,s08,s09,s10,s11"
PROMOTE_ALL = "\n".join(
    f'"{verdict}" = "promote"' for verdict in ("leaks", "over-unlearned", "utility lost", "not resolvable")
)


def kinds(project: Project) -> list[str]:
    return [event.kind for event in project.ledger.events()]


def test_a_request_is_unlearned_audited_certified_and_served(project: Project) -> None:
    submitted = project.submit(NINE)
    assert submitted.counts == {"asked": 9, "found": 9, "unknown": 0}
    assert work(project) == [1]
    assert project.status()["requests"] == {"pending": 0, "running": 0, "done": 1, "failed": 0}
    served = project.served
    assert served is not None
    certificate = verify(project.certificate(1), key=project.keys / "signing.pub", weights=served.file)
    predicate = certificate.predicate
    assert predicate["request"]["counts"] == {"asked": 9, "found": 9}
    assert len(predicate["request"]["samples"]) == 9
    assert (predicate["before"]["trained_on"], predicate["after"]["trained_on"]) == (40, 31)
    assert predicate["before"]["weights_sha256"] != predicate["after"]["weights_sha256"] == served.weights_sha256
    assert predicate["judgement"]["exact"]
    assert predicate["judgement"]["figures"][0]["name"] == "accuracy on forget samples"
    assert predicate["judgement"]["limits"]
    (tried,) = predicate["tried"]
    assert tried["method"].startswith("GradientAscent(")
    assert tried["verdict"] == "not resolvable with these data"
    first = ["indexed", "submitted", "trained", "promoted", "started"]
    assert kinds(project) == [*first, "judged", "judged", "done", "promoted"]
    assert project.verify()["certificates"] == 1
    assert work(project) == []
    assert project.submit(NINE).receipt.forgotten is False  # it is the same request
    assert project.submit("s03").receipt.forgotten


def test_nothing_that_is_written_about_a_request_names_anybody(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.submit("owner:person-3")
    project.submit("where:label == 1")
    work(project)
    named = [b"person-3", b"label == 1", b"s03", b"s11"]
    written = [*project.folder.glob("ledger.db*"), *project.certificates.iterdir(), project.folder / "served.json"]
    assert len(written) >= 6
    for path in written:
        content = path.read_bytes()
        assert [name for name in named if name in content] == [], path
    assert not any(name.decode() in caplog.text for name in named)
    owners = read(project.certificate(1)).predicate["request"]["owners"]
    assert owners == [project.pseudonyms.of("owner", "person-3")]


def test_a_request_of_one_sample_is_ranked_and_says_that_no_verdict_follows(project: Project) -> None:
    project.submit("s03")
    work(project)
    judgement = read(project.certificate(1)).predicate["judgement"]
    assert judgement["exact"]
    assert judgement["verdict"] == "not resolvable with these data"
    assert "one record" in judgement["reason"]
    assert judgement["margin"] is None
    record = RecordAudit.from_dict(files.read_sealed_json(Requests(project.workspace).at(1).record))
    served = next(model for model in record.models if model.weights_sha256 == project.ledger.tip().weights_sha256)
    first = judgement["figures"][0]
    assert first["value"] == 100 * served.scores[0].p
    assert (first["low"], first["high"]) == (None, None)
    assert [figure["name"].rpartition(", on ")[2] for figure in judgement["figures"]] == [
        *(["the model that serves"] * len(served.scores)),
        *(model.name for model in record.models if model != served),
    ]
    page = project.certificate(1).with_suffix(".html").read_text(encoding="utf-8")
    assert "among 20 unseen samples, on the model that serves" in page
    assert "s03" not in page


def test_a_worker_that_goes_on_takes_the_ranks_that_are_there(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.submit("s03")
    with monkeypatch.context() as patch:
        patch.setattr(worker, "certify", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work(project)
    monkeypatch.setattr(Workspace, "audit_record", lambda *_, **__: pytest.fail("audited again"))
    assert work(project) == [1]
    project.verify()


def interrupted(*_: object) -> str:
    raise KeyboardInterrupt


def test_without_references_in_the_audit_plan_nothing_is_measured_and_the_certificate_says_so(
    unaudited: Project,
) -> None:
    unaudited.submit("s03")
    work(unaudited)
    judgement = read(unaudited.certificate(1)).predicate["judgement"]
    assert (judgement["exact"], judgement["figures"]) == (True, [])
    assert judgement["reason"].startswith("No audit was made")
    assert not (unaudited.workspace / "references").exists()
    page = unaudited.certificate(1).with_suffix(".html").read_text(encoding="utf-8")
    assert "Nothing was measured of this model" in page


def test_a_request_over_http_is_served_with_the_ledger_on_postgresql(rows: Path, tmp_path: Path, postgres: str) -> None:
    project = begin(tmp_path / "project", rows, references=0, url=postgres)
    client = TestClient(create_app(project.folder))
    sent = bearing(Tokens(project.keys).create("platform", ["submit", "read"]))
    asked = client.post("/api/v1/requests", json={"owners": ["person-3"]}, headers=sent)
    assert (asked.status_code, asked.json().get("request")) == (201, 1), asked.text
    assert work(Project.open(project.folder)) == [1]
    assert client.get("/api/v1/requests/1", headers=sent).json()["state"] == "done"
    assert client.get("/api/v1/integrity", headers=sent).json()["intact"]
    certificate = tmp_path / "certificate.json"
    certificate.write_bytes(client.get("/api/v1/requests/1/certificate", headers=sent).content)
    served = project.served
    assert served is not None
    predicate = verify(certificate, key=project.keys / "signing.pub", weights=served.file).predicate
    assert predicate["request"]["owners"] == [project.pseudonyms.of("owner", "person-3")]
    assert predicate["after"]["weights_sha256"] == served.weights_sha256
    assert not project.ledger_file.exists()


def test_a_server_that_fails_in_the_middle_of_a_job_and_comes_back_loses_nothing(
    rows: Path, tmp_path: Path, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    project = begin(tmp_path / "project", rows, references=0, url=postgres, policy="lease = 0.6")
    project.submit("s03")
    failed: list[str] = []

    def fail_once(stage: str, done: float, total: float) -> None:
        if failed or project.status()["requests"]["running"] == 0:
            return
        failed.append(stage)
        server_program(postgres, "stop")
        with pytest.raises(UnavailableError, match="start the server"):
            project.submit("s04")
        until = time.monotonic() + 20
        while "the ledger cannot be reached, and the work goes on" not in caplog.text and time.monotonic() < until:
            time.sleep(0.05)
        server_program(postgres, "start")

    assert work(project, progress=fail_once) == [1]
    assert failed
    assert "the ledger cannot be reached, and the work goes on" in caplog.text
    project.verify()
    assert Counter(event.kind for event in project.ledger.events())["done"] == 1
    assert project.status()["requests"] == {"pending": 0, "running": 0, "done": 1, "failed": 0}


def test_a_worker_that_works_forever_waits_for_a_ledger_that_cannot_be_reached(
    unaudited: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unaudited.submit("s03")
    claim, tries = Ledger.claim, list[float]()

    def fail_once(ledger: Ledger, **options: Any) -> Lease | None:
        if not tries:
            raise UnavailableError("expected to read and write the ledger, got no server; start it")
        return claim(ledger, **options)

    monkeypatch.setattr(Ledger, "claim", fail_once)
    assert work(unaudited, most=1, forever=True, wait=tries.append) == [1]
    assert len(tries) == 1
    assert "the worker waits for it" in caplog.text


@pytest.mark.skipif(
    any(find_spec(name) is None for name in model_signature.PACKAGES), reason="pip install 'obliviate[model-signing]'"
)
def test_weights_are_signed_where_the_policy_says_so(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = begin(tmp_path / "project", rows, references=0, policy="model_signature = true")
    project.submit("s03")
    work(project)
    served = project.served
    assert served is not None
    signature = project.model_signature(served.model)
    words = ["verify", str(project.certificate(1)), "--weights", str(served.file), "--model-signature", str(signature)]
    words += ["--key", str(project.keys / "signing.pub"), "--model-key", str(project.keys / "models.pub")]
    for arguments, code, printed in (
        (words, 0, "the weights are those that the signature of the model is of"),
        (words[:-2], 1, "expected --model-signature with --model-key"),
        ([*words[:-1], str(project.keys / "signing.pub")], 1, "as it was signed"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        written = capsys.readouterr()
        assert printed in written.out + written.err
    assert project.verify()["certificates"] == 1
    project.rotate()
    assert len(list((project.keys / "retired").iterdir())) == 2
    project.verify()
    signature.write_bytes(signature.read_bytes()[:-1])
    with pytest.raises(LedgerError, match="the file was damaged or replaced"):
        project.verify()


def test_a_policy_that_promotes_serves_the_first_method(rows: Path, tmp_path: Path) -> None:
    project = begin(tmp_path / "project", rows, policy=PROMOTE_ALL)
    project.submit(NINE)
    work(project)
    predicate = read(project.certificate(1)).predicate
    assert predicate["method"].startswith("GradientAscent(")
    assert (predicate["judgement"]["exact"], predicate["tried"]) == (False, [])


def test_requests_are_taken_together_or_one_by_one(rows: Path, tmp_path: Path) -> None:
    for batch, batches in ((10, 1), (1, 2)):
        project = begin(tmp_path / f"project-{batch}", rows, policy=PROMOTE_ALL, batch=batch)
        project.submit("s03,s04,s05,s06,s07,s08")
        project.submit("s08,s09,s10,s11,s12,s13")
        assert len(work(project)) == batches
        asked = Requests(project.workspace).all
        assert sorted(id_ for request in asked for id_ in request.ids) == [f"s{place:02d}" for place in range(3, 14)]
        assert project.verify()["certificates"] == 2


def test_a_request_that_cannot_be_followed_fails_alone(unaudited: Project) -> None:
    unaudited.submit("where:colour == 'red'")
    unaudited.submit("s03")
    work(unaudited)
    assert unaudited.status()["requests"] == {"pending": 0, "running": 0, "done": 1, "failed": 1}
    (failed,) = [event for event in unaudited.ledger.events() if event.kind == "failed"]
    assert failed.facts == {"reason": "DataError"}
    unaudited.verify()


def test_to_forget_everybody_fails_and_later_requests_go_on(unaudited: Project) -> None:
    unaudited.submit(",".join(f"s{place:02d}" for place in range(40)))
    work(unaudited)
    assert unaudited.status()["requests"]["failed"] == 1
    unaudited.submit("s03")
    work(unaudited)
    assert unaudited.status()["requests"]["done"] == 1
    unaudited.verify()


def test_rolling_back_serves_the_model_before_and_says_what_it_knows_again(unaudited: Project) -> None:
    unaudited.submit("s03")
    work(unaudited)
    newest = unaudited.served
    served, unserved = unaudited.rollback()
    assert (served.model, unserved) == ("original", [1])
    assert unaudited.status()["unserved"] == [1]
    assert newest is not None
    assert unaudited.promote(newest.model[:-2]).model == newest.model
    assert unaudited.status()["unserved"] == []
    unaudited.verify()
    for name in ("../../etc/passwd", "", "nothing"):
        with pytest.raises(ProjectError, match="expected the id of a model"):
            unaudited.promote(name)


def test_a_swapped_file_of_weights_is_not_served(unaudited: Project) -> None:
    unaudited.submit("s03")
    work(unaudited)
    served = unaudited.served
    assert served is not None
    shutil.copy(unaudited.workspace / "models" / "original.safetensors", served.file)
    with pytest.raises(LedgerError, match="the file was damaged or replaced"):
        _ = unaudited.served
    with pytest.raises(LedgerError, match="the file was damaged or replaced"):
        unaudited.verify()


def test_a_pointer_to_somewhere_else_is_refused(project: Project) -> None:
    work(project)
    pointer = project.folder / "served.json"
    values = files.read_sealed_json(pointer)
    files.write_sealed_json(pointer, values | {"file": "../../../etc/passwd"})
    with pytest.raises(ProjectError, match="expected a path below the project"):
        _ = project.served
    work(project)  # which writes it again
    assert project.served is not None


def test_a_full_disk_gives_the_batch_back_and_the_next_worker_goes_on(
    unaudited: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    unaudited.submit("s03")
    flush = files._flush

    def full(path: Path, mode: int) -> None:
        if "requests" in path.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path, mode)

    monkeypatch.setattr(files, "_flush", full)
    with pytest.raises(WorkspaceError, match="No space left on device"):
        work(unaudited)
    assert unaudited.status()["requests"]["running"] == 1
    assert unaudited.status()["running"] == [{"batch": 1, "worker": ""}]
    monkeypatch.setattr(files, "_flush", flush)
    assert work(unaudited) == [1]
    unaudited.verify()


def test_certificates_of_before_a_rotated_key_are_checked_by_the_retired_one(unaudited: Project) -> None:
    unaudited.submit("s03")
    work(unaudited)
    unaudited.rotate()
    unaudited.submit("s04")
    work(unaudited)
    assert unaudited.verify()["certificates"] == 2
    (retired,) = (unaudited.keys / "retired").iterdir()
    verify(unaudited.certificate(1), key=retired)
    verify(unaudited.certificate(2), key=unaudited.keys / "signing.pub")


def test_without_the_key_of_the_pseudonyms_everything_is_still_verified(unaudited: Project) -> None:
    unaudited.submit("s03")
    work(unaudited)
    (unaudited.keys / "pseudonyms.key").unlink()
    again = Project.open(unaudited.folder)
    assert again.verify()["certificates"] == 1
    assert again.status()["requests"]["done"] == 1
    with pytest.raises(ProjectError, match="expected the key of the pseudonyms"):
        again.submit("s04")
    with pytest.raises(ProjectError, match="expected the key of the pseudonyms"):
        again.begin()


def test_a_second_process_does_nothing_while_another_works(unaudited: Project) -> None:
    unaudited.submit("s03")
    unaudited.workspace.mkdir(exist_ok=True)
    code = "import sys, time; from pathlib import Path; from obliviate._util.locks import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    words = [sys.executable, "-c", code, str(unaudited.workspace)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert work(unaudited) == []
        assert unaudited.status()["requests"]["pending"] == 1
        holder.kill()
    assert work(unaudited) == [1]


def test_work_stops_when_another_worker_has_taken_the_batch(unaudited: Project) -> None:
    unaudited.submit("s03")
    lease = unaudited.ledger.claim()
    assert lease is not None
    with kept_up(unaudited.ledger, lease, 0.03, silent) as watched:
        watched("audit", 0, 1)
        unaudited.ledger.release(lease)
        assert unaudited.ledger.claim() is not None

        def go_on() -> None:
            begun = time.monotonic()
            while time.monotonic() < begun + 30:
                watched("audit", 0, 1)
                time.sleep(0.01)

        with pytest.raises(LedgerError, match="another worker has taken it over"):
            go_on()


def run(folder: Path) -> None:
    """A worker in a process of its own."""
    work(Project.open(folder))


def killed_at_random(folder: Path, kills: int, seed: int, longest: float, check: Callable[[], None]) -> int:
    """Kill workers at random moments until so many are dead or all is done; returns how many were."""
    random_ = random.Random(seed)
    context = multiprocessing.get_context("fork")
    dead = 0
    while dead < kills:
        worker = context.Process(target=run, args=(folder,))
        worker.start()
        worker.join(random_.uniform(0.0, longest))
        if worker.exitcode is None:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            dead += 1
        else:
            assert worker.exitcode == 0
            break
        check()
    return dead


def check_kills(folder: Path, rows: Path, *, kills: int, batches: int) -> None:
    """Requests that are killed over, again and again, end as those that nobody disturbs."""
    owners = [f"owner:person-{number}" for number in range(batches)]
    quiet = begin(folder / "quiet", rows, batch=1)
    for owner in owners:
        quiet.submit(owner)
    begun = time.monotonic()
    run(quiet.folder)
    longest = 0.75 * (time.monotonic() - begun) / kills  # so that the work outlives the kills
    project = begin(folder / "killed", rows, batch=1)
    dead, seed, asked = 0, 0, 0

    def check() -> None:
        served = project.served  # its file is whole, or this raises
        assert served is not None or not project.ledger.promotions()

    while dead < kills:
        if asked < len(owners) and project.status()["requests"]["pending"] == 0:
            project.submit(owners[asked])
            asked += 1
        elif asked == len(owners) and project.status()["requests"]["done"] == asked:
            break
        dead += killed_at_random(project.folder, min(10, kills - dead), seed, longest, check)
        seed += 1
    for owner in owners[asked:]:
        project.submit(owner)
    run(project.folder)
    assert dead == kills, "the work ended before it was killed often enough; ask for more"
    project.verify()
    done = Counter(event.request for event in project.ledger.events() if event.kind == "done")
    assert done == dict.fromkeys(range(1, batches + 1), 1)
    assert sum(event.kind == "promoted" for event in project.ledger.events()) == batches + 1
    ours, theirs = project.ledger.promotions(), quiet.ledger.promotions()
    assert [entry.weights_sha256 for entry in ours] == [entry.weights_sha256 for entry in theirs]
    assert [entry.file_sha256 for entry in ours] == [entry.file_sha256 for entry in theirs]


def test_a_worker_that_is_killed_loses_nothing_and_does_nothing_twice(rows: Path, tmp_path: Path) -> None:
    check_kills(tmp_path, rows, kills=3, batches=1)


@pytest.mark.slow
def test_a_hundred_kills_over_six_requests(rows: Path, tmp_path: Path) -> None:
    check_kills(tmp_path, rows, kills=100, batches=6)
