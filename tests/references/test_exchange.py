"""An exchange: machines that share no folder read a job from a URL, and what they make comes home, checked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from obliviate.errors import AuditError
from obliviate.references.exchange import Exchange, Exchanging, make_by_exchange, opened, reached
from obliviate.references.jobs import Job
from obliviate.references.pool import ReferencePool
from obliviate.references.records import logits_file, record_file
from pools import Make, same


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a local server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        yield "s3://jobs/of-ours"
    server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the server and its client
def test_the_same_pool_comes_home_from_s3(
    bucket: str, make_pool: Make, tmp_path: Path, whole: ReferencePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        executor = Exchanging(threads, bucket)
        files, place = reached(bucket)
        pool = make_pool(tmp_path, executor=executor, progress=lambda *_: seen.extend(files.find(place)))
    same(pool, whole)
    assert {Path(name).name.partition("-")[0] for name in seen} >= {"job.pickle", "samples", "member"}
    assert files.find(place) == []


def test_what_was_damaged_on_the_way_is_refused(job: Job, tmp_path: Path) -> None:
    here, remote = tmp_path / "name", tmp_path / "there"
    here.mkdir()
    sha256 = job.write(here)
    with Exchange.of(job, here, sha256, f"file://{remote}") as exchange:
        make_by_exchange(exchange.url, "name", sha256, 0)
        (place,) = remote.iterdir()
        path = logits_file(place, "member", 0)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        with pytest.raises(AuditError, match=r"expected sha256 .* the file was damaged or replaced"):
            exchange.bring_home(0)
        assert not record_file(here, "member", 0).exists()
        assert not logits_file(here, "member", 0).exists()
    assert not list(remote.iterdir())


def test_a_failure_elsewhere_leaves_nothing_on_the_exchange(make_pool: Make, tmp_path: Path, tiny_recipe: Any) -> None:
    remote = tmp_path / "there"
    with ThreadPoolExecutor(1) as threads, pytest.raises(Exception, match="lower the learning rate"):
        make_pool(
            tmp_path / "here",
            executor=Exchanging(threads, f"file://{remote}"),
            recipe=replace(tiny_recipe, learning_rate=1e30),
        )
    assert not list(remote.iterdir())


def test_an_exchange_is_of_an_executor() -> None:
    with pytest.raises(AuditError, match=r"expected an executor for the exchange s3://jobs, got local processes; name"):
        opened("processes", "s3://jobs").__enter__()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("memory://jobs", r"expected a place that other machines reach, got 'memory://jobs'; name one on S3"),
        ("pigeon://jobs", r"expected the URL of a folder such as s3://bucket/folder, got 'pigeon://jobs' .*pigeon"),
        ("file:///proc/jobs", r"expected an exchange that can be written to, got a failure of file:///proc/jobs"),
    ],
)
def test_a_place_that_serves_as_no_exchange_is_refused(url: str, problem: str) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(AuditError, match=problem):
        Exchanging(threads, url)
