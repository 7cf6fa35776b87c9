import hashlib

import numpy as np
import torch

from obliviate.data.content import content_id


def test_a_content_id_is_the_hash_of_type_shape_and_bytes():
    x, y = torch.tensor([[0.5, -1.0]]), torch.tensor(3)
    values = np.array([0.5, -1.0], dtype="<f4").tobytes(), np.array(3, dtype="<i8").tobytes()
    text = b"<f4(1, 2)" + values[0] + b"<i8()" + values[1]
    assert content_id(x, y) == hashlib.sha256(text).hexdigest()[:16]


def test_a_content_id_changes_with_any_value_label_type_and_shape():
    x, y = torch.rand(2, 3), torch.tensor(1)
    changed = x.clone()
    changed[1, 2] += 1e-6
    variants = [(x, y), (changed, y), (x, y + 1), (x.view(3, 2), y), (x.double(), y), (x, y.int()), (x, y[None])]
    assert len({content_id(*variant) for variant in variants}) == len(variants)


def test_a_content_id_does_not_see_strides_or_gradients():
    x = torch.rand(4, 3)
    y = torch.tensor(0)
    assert content_id(x.T, y) == content_id(x.T.contiguous(), y) == content_id(x.T.clone().requires_grad_(), y)
