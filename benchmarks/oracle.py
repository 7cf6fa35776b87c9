"""Build the oracle that the repository ships, and compare what it says with an audit of the folder that it is made of.

    python benchmarks/oracle.py    # two minutes of one core; writes benchmarks/oracles/fashion_mnist_2k.safetensors

The ground is 2,000 of the shipped images, of which a tenth is to be forgotten, and a small convolutional network that
learns all of them by heart. The file is for half precision; the script says how far its figures are from the audit's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from obliviate.data.sources import EMBEDDED
from obliviate.methods.fine_tune import FineTune
from obliviate.oracles import build_oracle
from obliviate.training.recipe import Recipe
from obliviate.workspace import Portion, Workspace

PATH = Path(__file__).parent / "oracles" / "fashion_mnist_2k.safetensors"
REFERENCES, RETRAINED = 16, 3


def main() -> None:
    PATH.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(
            Path(folder) / "run",
            source=EMBEDDED,
            recipe=Recipe(model_options={"width": 8, "hidden": 64}, epochs=30),
            seed=0,
            portion=Portion(train_size=2000),
        )
        workspace.choose("random:0.1")
        oracle = build_oracle(PATH, workspace, references=REFERENCES, retrained=RETRAINED, half=True)
        method = FineTune()
        judged = {model.name: model for model in oracle.judge(method).models}
        workspace.unlearn(method)
        audited = workspace.audit(references=REFERENCES, retrained=RETRAINED)
        print(
            f"{oracle}: {PATH.stat().st_size:,} bytes; original and retrained models took "
            f"{sum(model.seconds or 0 for model in audited.models):.0f} s, references {oracle.pool.seconds:.0f} s"
        )
        for model in audited.models:
            other = judged[model.name]
            lead = audited.lead.name
            print(
                f"{model.name}: {model.verdict} / {other.verdict}; FT-AUC {model.attacks[lead].ft.value:.3f} / "
                f"{other.attacks[lead].ft.value:.3f}; gap {model.average_gap} / {other.average_gap}"
            )


if __name__ == "__main__":
    main()
