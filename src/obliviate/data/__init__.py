"""Samples, their stable ids, the forget/retain/holdout split, and batches."""
