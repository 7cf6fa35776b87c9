"""Tests lie where a reader looks for them, and show what they say."""

import ast
import re
from pathlib import Path
from typing import TypeGuard

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "obliviate"

ELSEWHERE = {
    "_util/lazy.py": "test_public.py",
    # Held to one contract, or to one another, by one list of parameters.
    "methods/base.py": "methods/test_contract.py",
    "methods/__init__.py": "methods/test_contract.py",
    "testing/interruptions.py": "testing/test_init.py",
    "testing/presentation.py": "testing/test_init.py",
    "testing/samples.py": "testing/test_init.py",
    "models/attention.py": "models/test_text_models.py",
    "models/causal_transformer.py": "models/test_text_models.py",
    "models/text_transformer.py": "models/test_text_models.py",
    "models/initial.py": "models/test_models.py",
    "models/mlp.py": "models/test_models.py",
    "models/resnet.py": "models/test_models.py",
    "models/small_cnn.py": "models/test_models.py",
    "models/vgg.py": "models/test_models.py",
    "task/causal_lm.py": "task/test_others.py",
    "task/multi_label.py": "task/test_others.py",
    "task/probabilities.py": "task/test_others.py",
    "task/regression.py": "task/test_others.py",
    "training/teachers.py": "references/test_teachers.py",
    # Parts of a format that files of that format are read by.
    "data/formats/base.py": "data/formats/test_init.py",
    "data/formats/batch_pickle.py": "data/formats/test_cifar.py",
    "data/formats/delimited.py": "data/formats/test_described.py",
    "data/formats/description.py": "data/formats/test_described.py",
    "data/formats/images.py": "data/formats/test_folder.py",
    "data/formats/newsgroups.py": "data/formats/test_texts.py",
    "data/formats/tabular.py": "data/formats/test_described.py",
    "data/formats/npy.py": "data/test_arrays.py",
    # What samples keep themselves in, which nothing else touches.
    "data/ahead.py": "data/test_samples.py",
    "data/stores.py": "data/test_samples.py",
    # Types without a function of their own.
    "project/names.py": "project/test_project.py",
    "training/saved_state.py": "training/test_resumption.py",
    "results/canaries.py": "results/test_document.py",
    "results/facts.py": "results/test_document.py",
    # Parts of one thing that is tested as a whole, from the request to what is written.
    "comparison/figures.py": "comparison/test_folders.py",
    "comparison/plot.py": "comparison/test_folders.py",
    "project/simulation_plot.py": "project/test_simulation.py",
    "plans/document.py": "plans/test_plan.py",
    "plans/trials.py": "plans/test_plan.py",
    "plans/ground.py": "plans/test_run.py",
    "plans/results.py": "plans/test_run.py",
    "plans/work.py": "plans/test_run.py",
    "plans/worker.py": "plans/test_run.py",
    "methods/configuration.py": "plans/test_plan.py",
    "requests/purged.py": "traces/test_purge.py",
    "traces/inventory.py": "traces/test_purge.py",
    "audit/shadows.py": "audit/test_self_audit.py",
    "workflow/expectation.py": "workflow/test_tuning.py",
    "workflow/keeping.py": "workflow/test_session.py",
    "workflow/references.py": "test_workflow.py",
    "workflow/results.py": "test_workflow.py",
    "workflow/training.py": "test_workflow.py",
    "workflow/unlearning.py": "test_workflow.py",
    "workspace/evidence.py": "workspace/test_folder.py",
    "workspace/forget.py": "workspace/test_folder.py",
    "workspace/origin.py": "workspace/test_folder.py",
    "workspace/preview.py": "workspace/test_folder.py",
    "workspace/report.py": "workspace/test_folder.py",
    "workspace/scores.py": "workspace/test_folder.py",
    # Commands and what they print, by what a user sees of them.
    "cli/recipes.py": "cli/commands/test_train.py",
    "cli/printing/audits.py": "cli/commands/test_audit.py",
    "cli/printing/comparisons.py": "comparison/test_folders.py",
    "cli/printing/costs.py": "project/test_costs.py",
    "cli/printing/console.py": "test_hostile_input.py",
    "cli/printing/folders.py": "cli/commands/test_status.py",
    "cli/printing/inspections.py": "cli/commands/test_inspect.py",
    "cli/printing/registries.py": "cli/test_printing.py",
    "cli/printing/unlearning.py": "cli/commands/test_unlearn.py",
    "cli/commands/compare.py": "comparison/test_folders.py",
    "cli/commands/demo.py": "test_demo.py",
    "cli/commands/export.py": "cli/commands/test_adopt.py",
    "cli/commands/folder.py": "cli/commands/test_status.py",
    "cli/commands/registries.py": "cli/test_printing.py",
    "cli/commands/run.py": "plans/test_run.py",
    "cli/commands/traces.py": "traces/test_purge.py",
    "workspace/auditing.py": "workspace/test_folder.py",
    "workspace/contents.py": "workspace/test_folder.py",
    "workspace/making.py": "workspace/test_folder.py",
    "workspace/requesting.py": "workspace/test_folder.py",
    "training/builders.py": "training/test_recipe.py",
    # A ledger and what works on it, by what they promise together.
    "ledger/chain.py": "ledger/test_check.py",
    "ledger/database.py": "ledger/test_ledger.py",
    "ledger/migrate.py": "ledger/test_ledger.py",
    "ledger/migrations/versions/r0001_first.py": "ledger/test_check.py",
    "ledger/names.py": "project/test_project.py",
    "ledger/records.py": "ledger/test_ledger.py",
    "ledger/transitions.py": "ledger/test_ledger.py",
    "ledger/pseudonyms.py": "project/test_project.py",
    "ledger/workers.py": "ledger/test_ledger.py",
    "worker/certify.py": "worker/test_worker.py",
    "worker/index.py": "worker/test_worker.py",
    "worker/judgement.py": "worker/test_worker.py",
    # A service, by what is asked of it.
    "service/calls.py": "service/test_api.py",
    "service/facts.py": "service/test_api.py",
    "service/limits.py": "service/test_app.py",
    "service/schemas.py": "service/test_generated.py",
    "worker/lease.py": "worker/test_worker.py",
    # Processes of their own.
    "references/worker.py": "references/test_pool.py",
    "references/executors/protocol.py": "references/test_submission.py",
    # The package itself, and what it raises, which every test of a refusal looks at.
    "__init__.py": "test_public.py",
    "__main__.py": "test_public.py",
    "errors.py": "test_public.py",
}
"""Modules without a test file of the same name, and the file that tests them."""


def defines_something(path: Path) -> bool:
    """Whether a module has functions or classes of its own, or runs."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.If)
    return any(isinstance(statement, kinds) for statement in ast.parse(path.read_text(encoding="utf-8")).body)


def is_mirrored(module: Path) -> bool:
    """Whether a file, or a folder of files where one is not enough, lies at the same place below `tests`."""
    name = module.stem.strip("_")
    return (TESTS / module.parent / f"test_{name}.py").is_file() or any(
        (TESTS / module.parent / name).glob("test_*.py")
    )


MODULES = [path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py")) if defines_something(path)]


def test_every_module_has_a_test_file_of_its_name_or_is_listed() -> None:
    assert [str(module) for module in MODULES if not is_mirrored(module) and str(module) not in ELSEWHERE] == []


@pytest.mark.parametrize("module", ELSEWHERE)
def test_a_module_that_is_listed_is_tested_where_the_list_says(module: str) -> None:
    assert Path(module) in MODULES, "no such module; take it off the list"
    assert not is_mirrored(Path(module)), "it has a test file of its own; take it off the list"
    assert (TESTS / ELSEWHERE[module]).is_file()


FILES = sorted(TESTS.rglob("test_*.py"))


def test_no_two_tests_of_a_file_have_one_name() -> None:
    """Python would run the second of them alone."""
    for path in FILES:
        functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if is_test(node)]
        names = [function.name for function in functions]
        assert len(names) == len(set(names)), path


def is_test(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def test_no_test_takes_an_error_of_the_type_checker_for_ours() -> None:
    """`unchecked` switches the type checker off, so that what it would stop meets our own checks."""
    naming = [path.name for path in FILES if re.search("TypeCheckError|Beartype", path.read_text(encoding="utf-8"))]
    assert sorted(naming) == ["test_tests.py", "test_types.py"]  # the latter shows that types are checked in tests
