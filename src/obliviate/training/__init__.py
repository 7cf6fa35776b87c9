"""Recipes, the resumable training engine, checkpoints and inference."""
