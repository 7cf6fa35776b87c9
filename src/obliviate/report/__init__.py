"""Turns the audit's `results.json` into one self-contained page that people can decide by."""
