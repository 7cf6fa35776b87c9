"""Attacks: adversarial examples that methods use, and membership attacks that audits use."""
