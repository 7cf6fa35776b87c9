"""Files of a user's, as commands and workspaces read them."""

from pathlib import Path

import numpy as np

from obliviate.data.samples import Samples


def write_rows(path: Path, samples: Samples, **arrays: np.ndarray) -> Path:
    """Write an npz file with the first 40 samples to train on and the others to test on; return its path.

    Other arrays go beside these, or in their place: `train_owner`, other `test_ids`.
    """
    batch = samples.everything()
    parts = {"train": slice(40), "test": slice(40, None)}
    columns = {"x": batch.x.numpy(), "y": batch.y.numpy(), "ids": batch.ids}
    written = {f"{part}_{name}": column[rows] for part, rows in parts.items() for name, column in columns.items()}
    np.savez(path, **(written | arrays))  # pyright: ignore[reportArgumentType]
    return path
