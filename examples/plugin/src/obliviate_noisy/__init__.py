"""Noise on the weights, then fine-tuning on the retain set: a method for obliviate."""

from obliviate_noisy.noisy_fine_tune import NoisyFineTune

__all__ = ["NoisyFineTune"]
