"""Your own model, trained by your own loop, not by obliviate: make it forget, and audit it."""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import obliviate as ob


class Net(nn.Module):  # your model: any nn.Module that returns one logit for each class
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def my_training(x: torch.Tensor, y: torch.Tensor, epochs: int) -> nn.Module:  # your loop, as it is
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def main(folder: Path, *, epochs: int = 40, references: int = 16) -> ob.AuditResult:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)  # your data: tensors, or any Dataset with `ob.Samples.from_dataset`
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    train, unseen = ob.Samples.from_tensors(x[:1000], y[:1000]), ob.Samples.from_tensors(x[1000:], y[1000:])
    model = my_training(x[:1000], y[:1000], epochs)

    task = ob.Classification(classes=10, input_range=(0.0, 1.0))  # the range of your inputs, for adversarial methods
    split = ob.Split.of(train, forget=train.ids[:100])  # ids: hashes of the content, or names that you give
    original = ob.TrainedModel.given(model, task)
    forgot = ob.unlearn(original, split, ob.AMUN())

    # Your loop in other words, to train models that never saw the samples: say here what `my_training` says.
    adam = {"optimizer": "adam", "learning_rate": 3e-3, "weight_decay": 0.0, "schedule": "constant"}
    recipe = ob.Recipe(model=Net, epochs=epochs, batch_size=32, **adam)
    experiment = ob.Experiment(task, recipe, train, unseen)
    pool = ob.train_references(
        experiment, folder=folder, models=references, workers=0
    )  # in this process: others could not import a Net of this script; leave it out where Net is in a module
    known = ob.TrainedModel.given(model, task, recipe=recipe)
    again = [ob.unlearn(known, split, ob.Retrain(), seed=seed) for seed in (1, 2, 3)]
    result = ob.audit_models(experiment, [original, forgot, *again], split, pool)
    print(ob.format_table(result))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("references"), help="where the reference models are kept")
    main(parser.parse_args().folder)
