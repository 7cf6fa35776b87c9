"""The loss, calibrated by how hard a sample is: a membership attack for obliviate."""

from obliviate_calibrated.calibrated_loss import CalibratedLoss

__all__ = ["CalibratedLoss"]
