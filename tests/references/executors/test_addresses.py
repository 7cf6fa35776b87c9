"""Addresses of clusters: what is none, and where nobody answers, is told before any work."""

import pytest

from obliviate.errors import AuditError
from obliviate.references.executors.addresses import check_reachable, is_loopback


@pytest.mark.parametrize("address", ["nowhere", "tcp://", "host:port", "ray://host", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(AuditError, match=r"expected an address HOST:PORT of dask, got .*; correct it"):
        check_reachable(address, engine="dask")


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1:6379", True), ("ray://localhost:10001", True), ("tcp://[::1]:8786", True), ("head:6379", False)],
)
def test_addresses_of_this_machine_alone_are_known(address: str, here: bool) -> None:
    assert is_loopback(address) is here
