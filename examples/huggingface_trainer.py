"""A sequence classifier that `transformers.Trainer` has trained: make it forget. Needs `transformers` and `accelerate`.

Nothing is downloaded: the model is built from a configuration, and the texts are made up.
"""

import tempfile
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import obliviate as ob

WORDS, LENGTH, PAD = 200, 16, 0


def texts(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Your tokenizer's `input_ids` and labels; here, texts of two topics that share half of their words."""
    y = torch.randint(2, (n,))
    tokens = torch.where(y[:, None] == 0, torch.randint(1, 150, (n, LENGTH)), torch.randint(50, WORDS, (n, LENGTH)))
    tokens[torch.arange(LENGTH) >= torch.randint(4, LENGTH + 1, (n, 1))] = PAD
    return tokens, torch.where(torch.rand(n) < 0.1, 1 - y, y)  # a tenth of the labels is wrong, and learnt by heart


def main(*, rows: int = 600, epochs: int = 12) -> dict[str, tuple[float, float, float]]:
    torch.manual_seed(0)
    (x, y), (x_new, y_new) = texts(rows), texts(rows)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        num_labels=2,
    )
    model = BertForSequenceClassification(config)  # or `from_pretrained(...)`
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=epochs, learning_rate=1e-3, per_device_train_batch_size=32,
            save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, seed=0,
        )  # fmt: skip
        dataset = [
            {"input_ids": tokens, "attention_mask": (tokens != PAD).long(), "labels": label}
            for tokens, label in zip(x, y, strict=True)
        ]
        Trainer(model=model, args=arguments, train_dataset=dataset).train()  # your training, as it is

    task = ob.Classification(classes=2, input_range=None)  # token ids cannot be perturbed
    train, unseen = ob.Samples.from_tensors(x, y), ob.Samples.from_tensors(x_new, y_new)
    half = len(unseen) // 2
    split = ob.Split.of(train, forget=train.ids[: rows // 10], holdout=unseen.select(unseen.ids[:half]))
    test = unseen.select(unseen.ids[half:])
    original = ob.TrainedModel.given(model, task)  # wrapped, so that it takes token ids and returns logits
    forgot = ob.unlearn(original, split, ob.NablaTau(learning_rate=1e-3))
    inner: Any = forgot.model.model  # a transformers model as before: inner.save_pretrained("unlearned")
    assert isinstance(inner, BertForSequenceClassification)

    found = {}
    for name, one in (("original", original.model), ("unlearned", forgot.model)):
        forgotten, kept, new = (ob.mean_loss(one, samples, task) for samples in (split.forget, split.kept, test))
        print(f"{name}: loss on forgotten {forgotten:.2f}, retained {kept:.2f}, unseen texts {new:.2f}")
        found[name] = forgotten, kept, new
    return found


if __name__ == "__main__":
    main()
