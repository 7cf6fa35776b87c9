"""Adversarial examples: pure functions on logits and an input space."""
