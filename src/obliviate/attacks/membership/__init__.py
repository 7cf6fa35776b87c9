"""Membership inference attacks as pure score functions on numpy arrays; a higher score means "member"."""
