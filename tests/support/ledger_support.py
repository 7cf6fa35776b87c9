"""What tests of the ledger share: samples and submissions by a key, and what processes of their own do."""

import time

from obliviate.ledger import Ledger, Outcome, Pseudonyms, Submission
from obliviate.ledger.names import Sample

KEY = Pseudonyms(bytes(range(32)))


def sample(name: str, *, owner: str = "", part: str = "train") -> Sample:
    """A sample as it is entered."""
    owners = (KEY.of("owner", owner), KEY.of("owner spelled", owner)) if owner else ("", "")
    return Sample(KEY.of("sample", name), KEY.of("name", name), KEY.of("name spelled", name), *owners, part)


def submission(*names: str, key: str = "", rule: str = "") -> Submission:
    """A request for samples of these names, or by a rule."""
    chosen = tuple(sorted(KEY.of("sample", name) for name in names))
    counts = {"asked": len(names)}
    if rule:
        return Submission("rule", KEY.of("key", key or rule), sealed=KEY.seal(rule), counts=counts)
    return Submission("ids", KEY.of("key", key or repr(names)), chosen, counts=counts)


def submit_many(number: int, url: str, count: int) -> tuple[float, float]:
    """Submit requests one by one; returns when that began and ended."""
    ledger = Ledger.open(url)
    begun = time.time()
    for place in range(count):
        ledger.submit(submission(f"{number}-{place}"), days=30)
    ended = time.time()
    ledger.close()
    return begun, ended


def take_all(number: int, url: str) -> list[int]:
    """Work on requests one by one until there are none; returns their numbers."""
    ledger = Ledger.open(url)
    numbers = []
    while (lease := ledger.claim(worker=f"elsewhere/{number}/1")) is not None:
        (request,) = lease.requests
        numbers.append(request.number)
        ledger.finish(lease, {request.number: Outcome("done", {"worker": number})})
    ledger.close()
    return numbers
