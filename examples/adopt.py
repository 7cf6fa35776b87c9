"""Weights that were trained elsewhere: take them over, make them forget, and audit that by your own training."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader

import obliviate as ob


def build() -> nn.Module:  # your model, with new weights
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def my_training(model: nn.Module, dataset: Any, *, seed: int, device: torch.device) -> nn.Module:  # your loop, as it is
    del seed  # the global generators are seeded by it already
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(20):
        for x, y in DataLoader(dataset, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x.to(device)), y.to(device)).backward()
            optimizer.step()
    return model


def my_data() -> tuple[ob.Samples, ob.Samples]:  # what the weights were trained on, and others of the same kind
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split((images / 16).astype("float32"), labels, train_size=500, test_size=400, random_state=0)
    x, x_test, y, y_test = map(torch.tensor, parts)
    return ob.Samples.from_tensors(x, y), ob.Samples.from_tensors(x_test, y_test)


def main(folder: Path, weights: Path, *, references: int = 16) -> ob.AuditResult:
    train, test = my_data()
    recipe = ob.Recipe(model=build, train=my_training)  # train="unknown", where nobody can say: then without audits
    experiment = ob.Experiment(ob.Classification(classes=10), recipe, train, test)
    original = ob.adopt(weights, experiment)  # .pth, .ckpt, .safetensors or a Trainer's folder
    split = experiment.split("random:0.2")
    models = [original, ob.unlearn(original, split, ob.AMUN())]
    models += [ob.unlearn(original, split, ob.Retrain(), seed=seed) for seed in (1, 2)]
    pool = ob.train_references(experiment, folder=folder, models=references, workers=0)
    result = ob.audit_models(experiment, models, split, pool)
    print(ob.format_table(result))
    return result


if __name__ == "__main__":
    torch.manual_seed(0)
    batch = my_data()[0].everything()
    pairs = list(zip(batch.x, batch.y, strict=True))
    trained = my_training(nn.DataParallel(build()), pairs, seed=0, device=torch.device("cpu"))
    torch.save({"epoch": 20, "state_dict": trained.state_dict()}, "theirs.pth")  # as one finds them
    main(Path("references"), Path("theirs.pth"))
