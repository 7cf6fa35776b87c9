"""How a frozen model sees points of an input space, as maps and as vectors: images, rows of a table, texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.methods.mixunlearn.neighbours import bag_of_words, direction, rarity
from obliviate.task import InputSpace
from obliviate.training.features import feature_layer, sequence_layer, with_features
from obliviate.training.run import Run

CHUNK: Final = 500  # texts whose tokens are counted together
SIDE: Final = 8  # positions that the generator sees of an image in either direction, as in the paper
CODES: Final = 32  # channels of a table's map; up to so many columns, each has one of its own


@runtime_checkable
class View(Protocol):
    """How inputs of one kind are seen; `seen` is the output of a layer, or the points `x` where the layer is None.

    The generator of masks sees maps of `layer`. The samples of one batch are compared by `vector`, with `layer`, and
    all samples by `likeness_of`, with the layer `likeness`, which must not know them by heart.
    """

    @property
    def layer(self) -> str | None: ...

    @property
    def likeness(self) -> str | None: ...

    def map(self, seen: Float[Tensor, " n ..."], x: Float[Tensor, " n ..."]) -> Float[Tensor, "n channels h w"]:
        """What the generator sees of each position."""
        ...

    def vector(self, seen: Float[Tensor, " n ..."], x: Float[Tensor, " n ..."]) -> Float[Tensor, "n d"]:
        """Unit vectors, whose inner product is the likeness of two samples."""
        ...

    def likeness_of(
        self, seen: Float[Tensor, " n ..."], x: Float[Tensor, " n ..."], inputs: Shaped[Tensor, " n ..."]
    ) -> Float[Tensor, "n d"]:
        """Unit vectors for a comparison of all samples; `inputs` are those of which `x` are the points."""
        ...

    def present(self, x: Float[Tensor, " n ..."]) -> Bool[Tensor, "n h w"] | None:
        """Which positions are more than padding; None: all are."""
        ...

    def size(self, x: Float[Tensor, " n ..."]) -> tuple[int, int]:
        """How many values a mask has, in two directions."""
        ...

    def share(self, mask: Float[Tensor, "n 1 height width"]) -> Float[Tensor, " n ..."]:
        """The mask in the shape of the inputs, or in one that broadcasts to it."""
        ...


@dataclass(frozen=True)
class ImageView:
    """Feature maps of a layer, averaged down to `SIDE`; images are compared by coarser ones of a layer less deep."""

    layer: str | None
    likeness: str | None

    @classmethod
    def of(cls, model: nn.Module, x: Float[Tensor, "n channels height width"], name: str | None) -> ImageView:
        layer = feature_layer(model, x, name=name)
        side = min(with_features(model, x, layer)[1].shape[2:])
        return cls(layer, feature_layer(model, x, least=2 * side))  # deeper ones know the forget set by heart

    def map(self, seen: Tensor, x: Tensor) -> Tensor:
        factor = -(-max(seen.shape[2:]) // SIDE)
        return seen if factor == 1 else F.avg_pool2d(seen, factor, ceil_mode=True)

    def vector(self, seen: Tensor, x: Tensor) -> Tensor:
        return direction(seen)

    def likeness_of(self, seen: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        return direction(seen)

    def present(self, x: Tensor) -> None:
        return None

    def size(self, x: Tensor) -> tuple[int, int]:
        return x.shape[2], x.shape[3]

    def share(self, mask: Tensor) -> Tensor:
        return mask


@dataclass(frozen=True)
class TableView:
    """The values themselves, each along a code of its column: no layer behind the first one has columns.

    A map with one channel would tell values apart but not columns. Up to `CODES` columns have orthogonal codes, and
    more have random unit vectors.
    """

    space: InputSpace
    codes: Float[Tensor, "codes d"]
    layer: None = None
    likeness: None = None

    @classmethod
    def of(cls, space: InputSpace, x: Float[Tensor, "n d"], run: Run) -> TableView:
        columns, seed = x.shape[1], derive(run.seed, "columns")
        codes = torch.eye(columns)
        if columns > CODES:
            codes = F.normalize(torch.randn(CODES, columns, generator=torch.Generator().manual_seed(seed)), dim=0)
        return cls(space, len(codes) ** 0.5 * run.place(codes))  # channels are about as large as those of a layer

    def map(self, seen: Tensor, x: Tensor) -> Tensor:
        return (self.space.scaled(x)[:, None] * self.codes)[..., None]

    def vector(self, seen: Tensor, x: Tensor) -> Tensor:
        return F.normalize(self.space.scaled(x))

    def likeness_of(self, seen: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        return self.vector(seen, x)

    def present(self, x: Tensor) -> None:
        return None

    def size(self, x: Tensor) -> tuple[int, int]:
        return x.shape[1], 1

    def share(self, mask: Tensor) -> Tensor:
        return mask[:, 0, :, 0]


@dataclass(frozen=True)
class TextView:
    """What a layer says of each token, or the embeddings.

    Those of a batch are compared by the sum of their embeddings, and all texts by their rare words: embeddings that
    were learnt with the labels know the forget set by heart.
    """

    space: InputSpace
    layer: str | None
    weight: Float[Tensor, " vocabulary"]
    likeness: None = None

    @classmethod
    def of(
        cls,
        model: Any,
        space: InputSpace,
        x: Float[Tensor, "n length d"],
        name: str | None,
        texts: Iterable[Samples],
        run: Run,
    ) -> TextView:
        assert space.lift is not None
        tokens = torch.arange(model.vocabulary, device=x.device)
        chunks = (batch.x for samples in texts for batch in run.in_order(samples, CHUNK))
        weight = rarity(chunks, model.vocabulary)
        weight = weight * space.lift(tokens[:, None]).flatten(1).any(1)  # padding is no word
        return cls(space, name, weight)

    def map(self, seen: Tensor, x: Tensor) -> Tensor:
        seen = F.layer_norm(seen, seen.shape[2:])  # embeddings may be small
        return (seen * self._tokens(x)[..., None]).transpose(1, 2)[..., None]

    def vector(self, seen: Tensor, x: Tensor) -> Tensor:
        values = x if self.space.free is None else x[..., self.space.free]  # padding adds nothing to the sum
        return F.normalize(values.sum(1))

    def likeness_of(self, seen: Tensor, x: Tensor, inputs: Tensor) -> Tensor:
        return bag_of_words(inputs, self.weight)

    def present(self, x: Tensor) -> Tensor:
        return self._tokens(x)[..., None]

    def size(self, x: Tensor) -> tuple[int, int]:
        return x.shape[1], 1

    def share(self, mask: Tensor) -> Tensor:
        return mask[:, 0]

    def _tokens(self, x: Tensor) -> Tensor:
        return x.any(2)


def view_of(
    model: nn.Module,
    space: InputSpace,
    x: Float[Tensor, " n ..."],
    samples: Sequence[Samples],
    *,
    name: str | None,
    maps: bool,
    run: Run,
) -> View:
    """How the model sees points such as `x`: the layer of its maps is `name`, or chosen, or none where `maps` is false.

    `samples` are all those that are to be compared, as the task has them: of texts, they say which words are rare.
    Raises MethodError for an image model without maps, or a layer that is not there or has none.
    """
    if space.token is not None:
        return TextView.of(model, space, x, sequence_layer(model, x, name=name) if maps else None, samples, run)
    if x.ndim == 4:
        return ImageView.of(model, x, name) if maps else ImageView(None, None)
    if name is not None:
        raise MethodError(
            f"expected no layer for rows of a table, whose columns no layer keeps apart, got {name!r}; leave it out"
        )
    return TableView.of(space, x, run)
