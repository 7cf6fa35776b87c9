"""Files, locks, imports, seeds, torch's state: nothing of the field."""
