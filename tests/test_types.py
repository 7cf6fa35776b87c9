import dataclasses
from collections.abc import Callable, Iterator, Sized
from typing import Any, Literal, NamedTuple

import jaxtyping
import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import Float, Shaped, TypeCheckError
from torch import Tensor, nn

import type_checks
from obliviate.errors import DataError
from obliviate.types import Batch, Layout, as_tensor


def batch() -> Batch:
    return Batch(torch.arange(6.0).view(3, 2), torch.tensor([2, 0, 1]), np.array(["a", "b", "c"]))


def test_a_batch_moves_to_a_device_with_its_ids():
    moved = batch().to(torch.device("meta"))
    assert moved.x.device.type == moved.y.device.type == "meta"
    assert moved.ids.tolist() == ["a", "b", "c"]
    assert len(moved) == 3


def test_a_batch_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch().x = torch.zeros(3, 2)  # pyright: ignore[reportAttributeAccessIssue]


def test_types_and_shapes_are_checked_in_tests():
    """Guards the option in pyproject.toml: without it, every shape annotation goes unchecked."""
    with pytest.raises(TypeCheckError):
        Batch(torch.zeros(3, 2), torch.zeros(3), np.zeros((2, 2)))
    with pytest.raises(TypeCheckError):
        Batch([1.0, 2.0], torch.zeros(2), np.array(["a", "b"]))  # pyright: ignore[reportArgumentType]
    assert jaxtyping.jaxtyped is type_checks.checked  # not at several times the cost


def checked(function: Any) -> Any:
    return type_checks.checked(function, typechecker=beartype)


@checked
def product(
    x: Float[Tensor, "n m"], y: Float[Tensor, " m"], rows: int = 1, *, cut: bool = False
) -> Float[Tensor, " n"]:
    """Returns fewer rows than it promises where it is asked to."""
    return (x @ y)[:rows] if cut else x @ y


def test_sizes_of_one_name_are_equal_among_arguments_and_results() -> None:
    x, y = torch.ones(4, 3), torch.ones(3)
    assert product(x, y).tolist() == [3.0] * 4
    assert product(torch.ones(2, 1), y=torch.ones(1)).tolist() == [1.0] * 2  # sizes are those of one call
    for wrong in ((x, torch.ones(4)), (x.int(), y), (x, y, 2.5)):
        with pytest.raises(TypeCheckError):
            product(*wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeCheckError):
        product(x, y, cut=True)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        product(x)  # pyright: ignore[reportCallIssue]


def test_functions_that_one_line_defines_again_and_again_are_checked_and_keep_what_they_close_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[Any] = []

    def making(check: Callable[..., Any]) -> Callable[..., Any]:
        checks.append(check)
        return beartype(check)

    def adder(number: int) -> Callable[[int], int]:
        @type_checks.checked(typechecker=making)
        def add(other: int) -> int:
            return number + other

        return add

    assert [adder(number)(10) for number in range(3)] == [10, 11, 12]
    with pytest.raises(TypeCheckError, match="add"):
        adder(1)("10")  # pyright: ignore[reportArgumentType]
    assert len(checks) == 2  # one of the argument, one of the result


def test_arrays_of_a_kind_that_passed_are_not_checked_again_and_others_are() -> None:
    looks: list[str] = []

    def looking(check: Callable[..., Any]) -> Callable[..., Any]:
        held = beartype(check)

        def look(*arguments: Any, **options: Any) -> Any:
            looks.append("result" if "return" in check.__annotations__ else "arguments")
            return held(*arguments, **options)

        return look

    @type_checks.checked(typechecker=looking)
    def cut(x: Float[Tensor, "n m"], rows: int) -> tuple[Float[Tensor, "n m"], int]:
        return x[:rows], rows

    for _ in range(3):
        cut(torch.ones(4, 3), 4)
    assert looks == ["arguments", "result"]
    cut(torch.ones(4, 3), rows=4)  # the same by name is another call
    cut(torch.ones(2, 3), 4)
    assert looks == ["arguments", "result"] * 3
    wrong: list[tuple[Any, ...]] = [(torch.ones(4, 3), 2), (torch.ones(4, 3), "4"), (torch.ones(4, 3).int(), 4)]
    for arguments in wrong * 2:  # a result of another size, another type, another number format
        with pytest.raises(TypeCheckError):
            cut(*arguments)


class Shapes(NamedTuple):
    x: Tensor


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Tensor, True),
        (Float[Tensor, " n"] | None, True),  # pyright: ignore[reportOperatorIssue]
        (tuple[Float[Tensor, " n"], int], True),
        (Callable[[Tensor], Tensor], True),
        (list[Tensor], False),
        (dict[str, int], False),
        (type[Tensor], False),
        (Literal[1], False),
        (Sized, True),
        (nn.Parameter, False),
    ],
    ids=str,
)
def test_what_is_inside_of_a_value_is_looked_at_each_time(hint: Any, expected: bool) -> None:
    assert type_checks.passes_by_kind(hint) == expected


def test_arrays_in_tuples_are_of_the_kind_of_these() -> None:
    assert type_checks.kind(Shapes(torch.ones(2))) != type_checks.kind(Shapes(torch.ones(3)))
    assert type_checks.kind((np.ones(2), 1)) == type_checks.kind((np.zeros(2), 5))


def test_what_has_no_names_for_the_type_checker_is_not_checked_and_all_else_is() -> None:
    @checked
    def some(first: "Nowhere", second: int) -> Iterator[int]:  # noqa: F821 # pyright: ignore[reportUndefinedVariable]
        yield from range(second)

    assert list(some(None, 2)) == [0, 1]
    with pytest.raises(TypeCheckError):
        some(None, "2")


def test_a_size_that_is_computed_from_the_arguments_is_checked() -> None:
    @checked
    def some(count: int, x: Shaped[Tensor, " {count}+1"]) -> int:
        return len(x)

    assert some(2, torch.zeros(3)) == 3
    with pytest.raises(TypeCheckError):
        some(2, torch.zeros(4))


def test_fields_of_a_dataclass_are_checked_once_also_where_another_inherits_them() -> None:
    @checked
    @dataclasses.dataclass
    class Pair:
        x: Shaped[Tensor, " n"]
        y: Shaped[Tensor, " n"]

    initial = Pair.__init__

    @checked
    class Other(Pair):
        pass

    assert Other.__init__ is initial
    assert len(Other(torch.zeros(2), torch.ones(2)).x) == 2
    with pytest.raises(TypeCheckError):
        Other(torch.zeros(2), torch.ones(3))


def test_other_uses_of_the_decorator_by_other_packages_are_left_to_it() -> None:
    vector: Any = Shaped[Tensor, " n"]

    def alike(x: Tensor, y: Tensor) -> bool:
        return isinstance(x, vector) and isinstance(y, vector)

    two, three = torch.zeros(2), torch.zeros(3)
    for decorated in (jaxtyping.jaxtyped(typechecker=None)(alike), jaxtyping.jaxtyped(alike, typechecker=None)):
        assert decorated(two, two)
        assert not decorated(two, three)
    with pytest.warns(UserWarning, match="jaxtyping"):
        assert jaxtyping.jaxtyped(alike)(two, two)
    with jaxtyping.jaxtyped("context"):
        assert isinstance(two, vector)
        assert not isinstance(three, vector)


def test_nothing_is_checked_where_a_test_asks_for_that(unchecked: None) -> None:
    assert product(torch.ones(4, 3), torch.ones(3), cut=True).tolist() == [3.0]


ROW = {"ids": [5, 3, 0], "mask": [1, 1, 0], "pixels": torch.rand(2, 2), "age": 40}


@pytest.mark.parametrize("names", [["ids"], ["ids", "mask"], ["pixels", "age"], ["age", "mask", "pixels"]])
def test_a_layout_takes_apart_what_it_put_together(names: list[str]) -> None:
    layout = Layout.of(ROW, names)
    x = torch.stack([layout.pack(ROW), layout.pack(ROW)])
    parts = layout.unpack(x)
    assert list(parts) == names
    for name, part in parts.items():
        wanted = as_tensor(ROW, name)
        assert part.dtype == wanted.dtype
        assert torch.equal(part, torch.stack([wanted, wanted]))


@pytest.mark.parametrize(
    ("names", "change", "message"),
    [
        (
            ["ids", "mask"],
            {"mask": [1, 1]},
            r"^expected inputs of one shape, .* got ids \(3,\), mask \(2,\); fill them up$",
        ),
        (["pixels", "age"], {"pixels": torch.rand(2, 3)}, r"^expected pixels of shape \(2, 2\) .* got \(2, 3\)"),
        (["pixels", "age"], {"age": 2**24 + 1}, r"^expected whole numbers up to 16777216 in age, .* got 16777217"),
        (["pixels", "age"], {"age": 0.5}, r"^expected age of shape \(\) and type torch.int64, .*torch.float32"),
        (["ids"], {"ids": object()}, r"^expected numbers in the field 'ids', got object .*; pass item="),
    ],
)
def test_a_row_of_another_layout_is_refused(names: list[str], change: dict[str, Any], message: str) -> None:
    layout = Layout.of(ROW, names)
    with pytest.raises(DataError, match=message):
        layout.pack(ROW | change)
