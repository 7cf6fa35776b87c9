"""The typed, versioned content of results.json: written by the audit, checked when it is read; no torch."""
