"""The application that every command registers with."""

from cyclopts import App, Parameter

from obliviate.cli.arguments import written

app = App(
    name="obliviate",
    help="Make a trained PyTorch model forget chosen training samples, and show with statistics how well it did.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
    default_parameter=Parameter(converter=written),
)
