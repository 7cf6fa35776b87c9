"""Images that a network goes through in a fraction of the time."""

import torch.nn.functional as F

from obliviate.data.samples import Samples


def halved(images: Samples) -> Samples:
    """The images at half their height and width, each value the mean of four, under the same ids."""
    batch = images.everything()
    return Samples.from_tensors(F.avg_pool2d(batch.x, 2), batch.y, ids=batch.ids)
