"""Signed statements on what was forgotten, by which model, and how well; checked without torch and without a ledger."""

from obliviate.certificate.envelope import Certificate, issue, read, verify
from obliviate.certificate.keys import SigningKey, public_key

__all__ = ["Certificate", "SigningKey", "issue", "public_key", "read", "verify"]
