"""The engine is the run's: a method moves nothing, goes backward nowhere and makes no optimiser."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from obliviate.testing.bench import Bench
from obliviate.testing.check import ContractError, expect


def leaves_the_engine_to_the_run(method: Any, bench: Bench, folder: Path) -> None:
    """Neither the class nor what it uses of its package calls `backward`, `to` or `cuda`, or makes an optimiser."""
    calls = engine_calls(type(method))
    expect(not calls, method, "to leave placement, gradients and optimisers to `run`", ", ".join(calls))


def engine_calls(cls: type[Any]) -> list[str]:
    """What a class does of the engine's work, each call by its line, and by its module where that is another one.

    What the class uses of its own package is looked through as well: functions, classes and tables, by whatever name
    and from whichever module. Raises ContractError for a class whose source cannot be read, as one that was typed into
    a console.

    >>> from obliviate.methods.fine_tune import FineTune
    >>> engine_calls(FineTune)
    []
    """
    package = sys.modules[cls.__module__].__package__ or cls.__module__
    sources: dict[str, _Source] = {}
    waiting, visited = [(cls.__module__, cls.__name__)], set[tuple[str, str]]()
    calls: list[tuple[bool, str, int, str]] = []
    while waiting:
        if (definition := waiting.pop()) in visited:
            continue
        visited.add(definition)
        module, name = definition
        if module not in sources:
            sources[module] = _Source(_tree(module, cls), module, package)
        waiting += sources[module].uses(name)
        calls += [(module != cls.__module__, module, *call) for call in sources[module].engine_calls(name)]
    return [
        f"{call} in line {line}" + (f" of {module}" if elsewhere else "")
        for elsewhere, module, line, call in sorted(calls)
    ]


def _tree(module: str, cls: type[Any]) -> ast.Module:
    try:
        return ast.parse(inspect.getsource(importlib.import_module(module)))
    except (OSError, TypeError) as error:
        raise ContractError(f"expected the source of {cls.__name__}, got none; define it in a module") from error


@dataclass(frozen=True)
class _Source:
    """The source of a module, and the package whose other modules are followed from it."""

    tree: ast.Module
    module: str
    package: str

    def uses(self, name: str) -> list[tuple[str, str]]:
        """What the definition of a name uses of the package, as (module, name)."""
        statement = self.definitions.get(name)
        if statement is None:  # imported here to be imported from here
            return [self.imported[name]] if name in self.imported else []
        return [use for node in ast.walk(statement) for use in self._used(node)]

    def engine_calls(self, name: str) -> Iterator[tuple[int, str]]:
        """The calls by which the definition of a name does the engine's work, with their lines."""
        statement = self.definitions.get(name)
        for node in () if statement is None else ast.walk(statement):
            if isinstance(node, ast.Call) and _is_of_engine(node.func, self.optimizers):
                yield node.lineno, ast.unparse(node.func)

    def _used(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Name) and node.id in self.definitions:
            yield self.module, node.id
        elif isinstance(node, ast.Name) and node.id in self.imported:
            yield self.imported[node.id]
        elif isinstance(node, ast.Attribute) and (module := self.modules.get(ast.unparse(node.value))):
            yield module, node.attr

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Functions, classes and values of the module, by name."""
        definitions: dict[str, ast.stmt] = {}
        for statement in self.tree.body:
            match statement:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    definitions[name] = statement
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    definitions[name] = statement
                case _:
                    pass
        return definitions

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Where in the package a name comes from, as (module, name)."""
        origins = {name: origin.rpartition(".") for name, origin in self.imports.items() if not _is_module(origin)}
        return {name: (module, original) for name, (module, _, original) in origins.items() if self._is_near(module)}

    @cached_property
    def modules(self) -> dict[str, str]:
        """Modules of the package by what they are called here."""
        return {name: origin for name, origin in self.imports.items() if _is_module(origin) and self._is_near(origin)}

    @cached_property
    def optimizers(self) -> set[str]:
        """What `torch.optim` and what is in it are called here."""
        return {"torch.optim"} | {name for name, origin in self.imports.items() if origin.startswith("torch.optim")}

    @cached_property
    def imports(self) -> dict[str, str]:
        """What every imported name stands for, with all its dots."""
        imports: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                imports |= {alias.asname or alias.name: alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                within = sys.modules[self.module].__package__
                module = importlib.util.resolve_name("." * node.level + (node.module or ""), within)
                imports |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
        return imports

    def _is_near(self, module: str) -> bool:
        return module == self.package or module.startswith(f"{self.package}.")


def _is_module(name: str) -> bool:
    return isinstance(sys.modules.get(name), ModuleType)


def _is_of_engine(called: ast.expr, optimizers: set[str]) -> bool:
    """Whether a call moves something, goes backward, or makes an optimiser."""
    if isinstance(called, ast.Attribute) and called.attr in {"backward", "to", "cuda"}:
        return True
    text = ast.unparse(called)
    return any(text == name or text.startswith(f"{name}.") for name in optimizers)
