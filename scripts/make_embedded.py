"""Make the data that the package ships from the original Fashion-MNIST files.

    python scripts/make_embedded.py --data FOLDER

FOLDER holds the four official `idx` files (https://github.com/zalandoresearch/fashion-mnist, MIT licence). 5,500 images
are drawn from the training file (5,000 to train on, 500 held out) and 2,500 from the test file, by one
seeded permutation each. The result is the same, byte for byte, on every run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "src" / "obliviate" / "data" / "embedded"
SEED = 20_190_826
TRAIN, HOLDOUT, TEST = 5_000, 500, 2_500


def read_idx(path: Path) -> np.ndarray:
    """Read one gzip-compressed `idx` file of unsigned bytes."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\x00\x00\x08":
        raise SystemExit(f"expected an idx file of unsigned bytes, got {path}; download it again")
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape.astype(int))


def main() -> None:
    """Draw the subset, write it and its checksum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the original files")
    folder = parser.parse_args().data

    generator = np.random.default_rng(SEED)
    from_train = generator.permutation(60_000)[: TRAIN + HOLDOUT]
    from_test = generator.permutation(10_000)[:TEST]
    arrays = {}
    for part, rows in (("train", from_train[:TRAIN]), ("holdout", from_train[TRAIN:]), ("test", from_test)):
        prefix = "t10k" if part == "test" else "train"
        arrays[f"{part}_x"] = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")[rows]
        arrays[f"{part}_y"] = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")[rows]

    TARGET.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    target = TARGET / "fashion_mnist_5k.npz"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:  # a seventh less than what numpy packs
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), compress_type=zipfile.ZIP_LZMA)
    shutil.copyfile(folder / "LICENSE", TARGET / "LICENSE")
    facts = {
        "name": "fashion_mnist_5k",
        "source": "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT",
        "made_by": "scripts/make_embedded.py",
        "images": {"train": TRAIN, "holdout": HOLDOUT, "test": TEST},
        "sha256": digest.hexdigest(),
    }
    (TARGET / "fashion_mnist_5k.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, sha256 of the pixels and labels {facts['sha256']}")


if __name__ == "__main__":
    main()
