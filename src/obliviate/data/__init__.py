"""Samples, their stable ids, the forget/retain/reference split, and batches."""
