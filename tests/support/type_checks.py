"""The run-time checks of types and shapes, at a fraction of what `jaxtyping.jaxtyped` takes for them.

That binds the arguments of every call, checks them twice, and makes the checks of an inner function anew whenever its
outer one is called. Here checks are made at the first call, once for each place in the source, and sizes are kept in
mind where there are shapes. What is checked is the same, by the same two libraries.

A plug-in of pytest (`-p type_checks`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import partial, wraps
from types import CodeType, FunctionType
from typing import Any, NamedTuple, get_args, get_type_hints

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


@dataclass(eq=False)
class Place:
    """A place in the source that defines a function: what its annotations stood for then, and their checks."""

    code: CodeType  # kept so that no other takes its place in memory, by which it is known
    hints: dict[str, Any]
    checks: Checks | None = None  # made at the first call


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
        if checks.has_shapes:
            with jaxtyped("context"):
                return call(function, checks, arguments, options)
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
    if checks.arguments is not None:
        try:
            checks.arguments(*arguments, **options)
        except BeartypeCallHintViolation as violation:
            raise TypeCheckError(str(violation)) from violation
    result = function(*arguments, **options)
    if checks.result is not None:
        try:
            checks.result(result)
        except BeartypeCallHintViolation as violation:
            raise TypeCheckError(str(violation)) from violation
    return result


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
