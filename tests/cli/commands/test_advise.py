"""`obliviate advise`."""

import json

from command_line import Cli


def test_methods_are_named_with_the_command_to_try_first(cli: Cli) -> None:
    code, out, _ = cli("advise", "random", "--share", "0.1")
    assert code == 0
    assert out.splitlines()[0].split()[0] == "method"
    assert "Try first: obliviate unlearn --method " in out


def test_json_has_the_figures_and_what_was_left_out(cli: Cli) -> None:
    code, out, _ = cli("advise", "class", "--no-retain", "--json")
    assert code == 0
    advice = json.loads(out)
    assert {"method", "distance", "cost"} <= set(advice["methods"][0])
    assert all(isinstance(reason, str) for reason in advice["passed_over"].values())


def test_a_kind_that_was_not_measured_is_refused(cli: Cli) -> None:
    code, _, err = cli("advise", "owner", "--task", "texts")
    assert code == 1
    assert "expected something that was measured for a request of kind owner on texts" in err
