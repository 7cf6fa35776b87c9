"""Outputs of simulated models: some trained on the forget set, some never, some ruined."""

import numpy as np

from obliviate.audit.inputs import AuditSamples, Candidate, Pool, Role

FORGET, RETAIN, UNSEEN = np.split(np.random.default_rng(9).permutation(2400), [800, 1600])
SIZE, CLASSES, MODELS = 2500, 3, 12  # 100 samples of the pool are in no part


class World:
    """Logits of simulated models: shared difficulty, noise per model, and a boost for what was trained on."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.labels = self.rng.integers(0, CLASSES, SIZE)
        self.difficulty = self.rng.normal(1, 1.5, SIZE)
        plan = np.tile(np.arange(MODELS)[:, None] < MODELS // 2, SIZE)
        included = self.rng.permuted(plan, axis=0)
        included[:, 2400:] = False
        self.pool = Pool(logits=[self.train(row) for row in included], included=included)
        self.samples = AuditSamples(labels=self.labels, forget=FORGET, retain=RETAIN, unseen=UNSEEN)

    def train(self, members: np.ndarray, boost: float = 2.0) -> np.ndarray:
        logits = self.rng.normal(0, 0.5, (SIZE, CLASSES))
        logits[np.arange(SIZE), self.labels] += self.difficulty + boost * members
        return logits.astype(np.float32)

    def candidate(self, name: str, role: Role, logits: np.ndarray, seconds: float | None = 1.0) -> Candidate:
        return Candidate(
            name=name,
            role=role,
            method=name.partition(" ")[0],
            seed=0,
            logits=logits,
            seconds=seconds,
            weights_sha256="0" * 64,
            settings={"epochs": 3},
        )


def indicator(*parts: np.ndarray) -> np.ndarray:
    members = np.zeros(SIZE)
    members[np.concatenate(parts)] = 1
    return members
