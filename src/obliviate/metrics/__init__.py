"""Figures and their uncertainty as pure functions on numpy arrays; none of them imports torch."""
