"""Your own network and data: train it, make it forget, and see what that did to it. A minute on two cores."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import obliviate as ob

images, labels = load_digits(return_X_y=True)  # your data; of a Dataset: `ob.Samples.from_dataset(dataset)`
x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
train, test = ob.Samples.from_tensors(x[:1000], y[:1000]), ob.Samples.from_tensors(x[1000:], y[1000:])
net = lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))  # noqa: E731 - your nn.Module's class
experiment = ob.Experiment(ob.Classification(classes=10), ob.Recipe(model=net, epochs=40), train, test)
original = ob.train(experiment)
split = experiment.split("random:0.1")  # what to forget: ids, a rule, or its text
models = [original, ob.unlearn(original, split, ob.AMUN()), ob.unlearn(original, split, ob.Retrain(), seed=1)]
for model in models:
    parts = {"forget": split.forget, "retain": split.kept, "test": test}
    print(model.label, {name: round(ob.mean_loss(model.model, part, model.task), 3) for name, part in parts.items()})
