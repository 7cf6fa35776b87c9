import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from obliviate.methods.mixunlearn.mix_block import MixBlock


def maps(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, *shape, generator=generator)
    return first, second


def strong(channels: int) -> MixBlock:
    """A block whose weights are large enough to tell positions apart."""
    torch.manual_seed(1)
    block = MixBlock(channels)
    for weight in block.parameters():
        torch.nn.init.normal_(weight)
    return block


@torch.no_grad()
def written_out(block: MixBlock, first: Tensor, second: Tensor, lam: float) -> Tensor:
    """The logits of both images, position by position."""
    n, c, h, w = first.shape
    inner = c // 2
    logits = torch.zeros(n, 2, h, w)
    weights = [layer.weight[:, :, 0, 0] for layer in (block.query, block.key, block.value)]
    biases = [layer.bias for layer in (block.query, block.key, block.value) if layer.bias is not None]
    for i in range(n):
        images = [torch.cat([first[i].flatten(1), torch.full((1, h * w), lam)])]
        images.append(torch.cat([second[i].flatten(1), torch.full((1, h * w), 1 - lam)]))
        for own in (0, 1):
            for p in range(h * w):
                query = weights[0] @ images[own][:, p] + biases[0]
                scores = []
                values = []
                for q in range(h * w):
                    key = weights[1] @ images[1 - own][:, q] + biases[1]
                    scores.append(float(query @ key) / math.sqrt(inner))
                    values.append(float(weights[2] @ images[own][:, q] + biases[2]))
                total = sum(math.exp(score) for score in scores)
                logits[i, own, p // w, p % w] = sum(
                    math.exp(score) / total * value for score, value in zip(scores, values, strict=True)
                )
    return logits


def test_the_mask_is_that_of_the_formula_written_out():
    first, second = maps(2, 4, 2, 3)
    block = strong(4)
    logits = written_out(block, first, second, 0.3)
    expected = F.interpolate(logits, (4, 6), mode="bilinear").softmax(1)[:, :1]
    assert expected.std() > 0.05
    torch.testing.assert_close(block(first, second, 0.3, (4, 6)), expected, atol=1e-5, rtol=1e-4)


def test_the_shares_of_both_images_sum_to_one_whichever_comes_first():
    first, second = maps(3, 6, 5, 5)
    block = strong(6)
    mask, other = block(first, second, 0.8, (20, 20)), block(second, first, 0.2, (20, 20))
    assert mask.std() > 0.05
    assert mask.min() > 0
    assert mask.max() < 1
    torch.testing.assert_close(mask + other, torch.ones_like(mask))


@pytest.mark.parametrize("lam", [0.0, 0.2, 0.5, 1.0])
def test_a_value_that_sees_the_ratio_alone_gives_a_flat_mask_known_in_closed_form(lam: float):
    block = strong(4)
    with torch.no_grad():
        block.value.weight.zero_()
        block.value.weight[0, -1] = 3.0
    mask = block(*maps(2, 4, 3, 3), lam, (9, 9))
    torch.testing.assert_close(mask, torch.full_like(mask, 1 / (1 + math.exp(-3.0 * (2 * lam - 1)))))


def test_the_first_masks_are_near_a_half():
    torch.manual_seed(0)
    mask = MixBlock(32)(*maps(4, 32, 7, 7), 0.9, (28, 28))
    assert (mask - 0.5).abs().max() < 0.1


def test_it_has_as_many_weights_as_published_for_the_third_stage_of_a_resnet_18():
    assert sum(weight.numel() for weight in MixBlock(256).parameters()) == 66_306


def test_padding_has_no_part_in_the_masks_of_what_is_there():
    first, second = maps(2, 4, 5, 1)
    block = MixBlock(4)
    block.load_state_dict(strong(4).state_dict())
    alone = block(first, second, 0.3, (5, 1))
    present = torch.arange(9)[None, :, None].expand(2, 9, 1) < 5
    padded = [F.pad(maps, (0, 0, 0, 4), value=7.0) for maps in (first, second)]
    mixed = block(*padded, 0.3, (9, 1), (present, present))
    assert (mixed[:, :, :5] - block(*padded, 0.3, (9, 1))[:, :, :5]).abs().max() > 0.01
    torch.testing.assert_close(mixed[:, :, :5], alone)
    assert block(first, second, 0.3, (5, 1), (present[:, :5], torch.zeros(2, 5, 1).bool())).isfinite().all()


def test_maps_of_one_row_are_taken_as_they_are():
    first, second = maps(2, 4, 20, 1)
    block = MixBlock(4)
    block.load_state_dict(strong(4).state_dict())
    mask = block(first, second, 0.4, (20, 1))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))  # columns have no order
    torch.testing.assert_close(block(first[:, :, order], second[:, :, order], 0.4, (20, 1)), mask[:, :, order])


def test_one_channel_is_enough():
    assert MixBlock(1)(*maps(2, 1, 4, 4), 0.5, (8, 8)).shape == (2, 1, 8, 8)
