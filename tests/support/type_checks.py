"""The run-time checks of types and shapes, at a fraction of what `jaxtyping.jaxtyped` takes for them.

That binds the arguments of every call, checks them twice, and makes the checks of an inner function anew whenever its
outer one is called. Here checks are made at the first call, once for each place in the source, and sizes are kept in
mind where there are shapes; arrays of a type, a number format and a shape that passed before pass again. What is
checked is the same, by the same two libraries.

A plug-in of pytest (`-p type_checks`).
"""

from __future__ import annotations

import inspect
from abc import ABCMeta
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from functools import cache, partial, wraps
from types import CodeType, FunctionType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import jaxtyping
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import AbstractArray, TypeCheckError

Check = Callable[..., Any]
Typechecker = Callable[[Check], Check]

jaxtyped = jaxtyping.jaxtyped
"""The decorator of the library."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put `checked` in the place of `jaxtyped`, before the package is imported."""
    jaxtyping.jaxtyped = checked  # pyright: ignore[reportPrivateImportUsage]


class Checks(NamedTuple):
    """What a call is held to; None where anything will do."""

    arguments: Check | None
    result: Check | None
    has_shapes: bool
    by_kind: bool
    """Whether a value passes by its `kind` alone."""


@dataclass(eq=False)
class Place:
    """A place in the source that defines a function: what its annotations stood for then, and their checks."""

    code: CodeType  # kept so that no other takes its place in memory, by which it is known
    hints: dict[str, Any]
    checks: Checks | None = None  # made at the first call
    passed: dict[Any, set[Any]] = field(default_factory=dict)  # kinds of arguments, and of the results that they gave


PLACES: dict[int, Place] = {}


def checked(function: Any = None, **options: Any) -> Any:
    """Check the arguments and the result of a function, or the fields of a dataclass, in every call.

    Raises TypeCheckError then. What a coroutine or a generator gives later is not checked. Whatever else other packages
    use `jaxtyped` for is left to it.
    """
    typechecker: Typechecker | None = options.get("typechecker")
    if typechecker is None:
        return jaxtyped(*[function] if function is not None else [], **options)
    if function is None:
        return partial(checked, typechecker=typechecker)
    if inspect.isclass(function):
        if is_dataclass(function) and getattr(function.__init__, "__globals__", None) is not globals():
            function.__init__ = checked(function.__init__, typechecker=typechecker)
        return function
    if inspect.iscoroutinefunction(function):
        return function
    if not isinstance(function, FunctionType) or any("{" in str(hint) for hint in function.__annotations__.values()):
        return jaxtyped(function, typechecker=typechecker)  # where a size is computed from the arguments, or a property
    place = place_of(function)

    @wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:
            return function(*arguments, **options)
        checks = place.checks
        if checks is None:
            checks = place.checks = checks_of(function, place.hints, typechecker)
        if not checks.has_shapes:
            return call(function, checks, arguments, options)
        if checks.by_kind:
            return call_by_kind(function, checks, place.passed, arguments, options)
        with jaxtyped("context"):
            return call(function, checks, arguments, options)

    return wrapper


@contextmanager
def unchecked() -> Iterator[None]:
    """No checks meanwhile, as for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def call(function: Check, checks: Checks, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The result of a function, between the checks of what it is given and what it gives."""
    hold(checks.arguments, *arguments, **options)
    result = function(*arguments, **options)
    hold(checks.result, result)
    return result


def call_by_kind(
    function: Check, checks: Checks, passed: dict[Any, set[Any]], arguments: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """The same where a value passes by its kind alone: what passed before is not checked again."""
    given = kind(arguments), *options, kind(tuple(options.values()))
    results = passed.get(given)
    if results is None:
        with jaxtyped("context"):
            result = call(function, checks, arguments, options)
        passed[given] = {kind(result)}
        return result
    result = function(*arguments, **options)
    if (gives := kind(result)) not in results:
        with jaxtyped("context"):
            hold(checks.arguments, *arguments, **options)  # for their sizes
            hold(checks.result, result)
        results.add(gives)
    return result


def hold(check: Check | None, /, *arguments: Any, **options: Any) -> None:
    """Raise TypeCheckError where values do not pass a check."""
    if check is not None:
        try:
            check(*arguments, **options)
        except BeartypeCallHintViolation as violation:
            raise TypeCheckError(str(violation)) from violation


def kind(value: Any) -> Any:
    """The type of a value, for an array with its number format and its shape, for a tuple that of each in it."""
    of = type(value)
    if issubclass(of, tuple):
        return of, *map(kind, value)
    return (of, value.dtype, tuple(value.shape)) if is_array(of) else of


@cache
def is_array(of: type) -> bool:
    return hasattr(of, "dtype") and hasattr(of, "shape")


def passes_by_kind(hint: Any) -> bool:
    """Whether the `kind` of a value says if it is what an annotation asks for: nothing inside of it is looked at."""
    if hint is None or hint is Any:
        return True
    if get_origin(hint) in (Union, UnionType, tuple):
        return all(map(passes_by_kind, get_args(hint)))
    if get_origin(hint) is Callable:
        return True  # only whether it can be called is looked at
    if not inspect.isclass(hint) or get_origin(hint) is not None:
        return False
    looks = getattr(type(hint), "__instancecheck__", None)
    return issubclass(hint, AbstractArray) or looks in (type.__instancecheck__, ABCMeta.__instancecheck__)


def place_of(function: FunctionType) -> Place:
    """The place of a function; what a name stands for later, once its class is there, is not looked at."""
    code = function.__code__
    if id(code) not in PLACES:
        hints = {name: resolved(hint, function.__globals__) for name, hint in function.__annotations__.items()}
        PLACES[id(code)] = Place(code, {name: hint for name, hint in hints.items() if hint is not Any})
    return PLACES[id(code)]


def checks_of(function: FunctionType, hints: dict[str, Any], typechecker: Typechecker) -> Checks:
    """The checks of a function by its annotations."""
    has_shapes = any(inspect.isclass(part) and issubclass(part, AbstractArray) for part in parts(hints.values()))
    arguments = {name: hint for name, hint in hints.items() if name != "return"}
    result = {name: hint for name, hint in hints.items() if name == "return"}
    return Checks(
        typechecker(likeness(function, f"{bare_signature(function)}: pass", arguments)) if arguments else None,
        typechecker(likeness(function, "(result): return result", result)) if result else None,
        has_shapes,
        has_shapes and all(map(passes_by_kind, hints.values())),
    )


def likeness(function: FunctionType, source: str, hints: dict[str, Any]) -> Check:
    """A function with the signature and the body of `source`, named as the one that is checked."""
    scope: dict[str, Any] = {}
    exec(f"def check{source}", scope)
    check = scope["check"]
    check.__annotations__ = hints
    check.__module__, check.__qualname__ = function.__module__, function.__qualname__
    return check


def bare_signature(function: FunctionType) -> inspect.Signature:
    """The signature without annotations; what has a default has some other one, which is not checked."""
    signature = inspect.signature(function)
    kept = [
        parameter.replace(
            annotation=parameter.empty, default=parameter.empty if parameter.default is parameter.empty else None
        )
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=kept, return_annotation=signature.empty)


def resolved(hint: Any, names: dict[str, Any]) -> Any:
    """What an annotation stands for; Any where it names what only the type checker of the source imports."""

    def annotated() -> None: ...

    annotated.__annotations__ = {"hint": hint}
    try:
        return get_type_hints(annotated, names, include_extras=True)["hint"]
    except (NameError, AttributeError, TypeError):
        return Any


def parts(hints: Any) -> Iterator[Any]:
    """Annotations, and those inside of them."""
    for hint in hints:
        yield hint
        yield from parts(get_args(hint))
