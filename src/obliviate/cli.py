"""The command line: arguments, progress and tables only; the work is in `workspace` and `demo`.

Heavy modules are imported when a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from cyclopts import App, Parameter

from obliviate.errors import MethodError, ObliviateError

if TYPE_CHECKING:
    from rich.console import Console

    from obliviate.training.run import Progress

app = App(
    name="obliviate",
    help="Make a trained PyTorch model forget chosen training samples, and show with statistics how well it did.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)

WIDEST = 120  # columns of running text

Out = Annotated[Path, Parameter(help="Folder for everything this command makes; run again to resume.")]
Seed = Annotated[int, Parameter(help="Seed of every random choice.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the results as JSON instead of a table.")]
References = Annotated[int, Parameter(help="Number of reference models for the membership attack (even, at least 4).")]
Retrained = Annotated[
    int,
    Parameter(
        help="Number of retrained models to compare with: at least 2, or 0 to train none and compare with the "
        "references; those that are in the folder take part all the same if there are at least 2."
    ),
]
Workers = Annotated[int | None, Parameter(help="Processes that train references; one per core if left out.")]


@app.command
def demo(*, out: Out = Path("demo"), seed: Seed = 0, json_: Json = False) -> None:
    """Do the whole job on shipped data in about two minutes: train, forget by four methods, audit, report."""
    from obliviate.demo import demo as run

    with _progress(quiet=json_) as progress:
        results = run(out, seed=seed, progress=progress)
    _show(results, out, as_json=json_)


@app.command
def train(
    *,
    out: Out,
    data: Annotated[
        str,
        Parameter(
            help="fashion_mnist_5k (shipped), a .npz file with train_x, train_y, test_x, test_y, or a folder: idx, "
            "CIFAR, SVHN, or images in train/CLASS and test/CLASS (docs/data.md)."
        ),
    ] = "fashion_mnist_5k",
    train_size: Annotated[int | None, Parameter(help="Train on a random part of this many samples.")] = None,
    reference_size: Annotated[
        int | None, Parameter(help="Hold out this many training samples as the unseen reference set.")
    ] = None,
    model: Annotated[
        str,
        Parameter(
            help="Architecture: small_cnn, mlp, resnet8, resnet18, resnet20, resnet56, vgg11, vgg16, vgg19, or "
            "module:function of your own."
        ),
    ] = "small_cnn",
    options: Annotated[str, Parameter(help="Keyword arguments of the architecture, as a JSON object.")] = "{}",
    epochs: Annotated[int, Parameter(help="Passes over the training set.")] = 20,
    learning_rate: Annotated[float, Parameter(help="Peak learning rate of SGD with momentum.")] = 0.1,
    batch_size: Annotated[int, Parameter(help="Samples per step.")] = 64,
    coins: Annotated[
        int | None,
        Parameter(
            help="Toss a fair coin for this many training samples and leave the tails out, for an exact test: "
            "`unlearn --forget coins` then forgets the heads."
        ),
    ] = None,
    shards: Annotated[int, Parameter(help="Parts of the data with a model each, whose votes are averaged (sisa).")] = 1,
    slices: Annotated[int, Parameter(help="Parts of each shard, with a checkpoint after each (sisa).")] = 1,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Train the original model and keep it in a folder, ready to be unlearned and audited."""
    from obliviate.training.recipe import Recipe
    from obliviate.workspace import Workspace

    recipe = Recipe(
        model=model,
        model_options=_json_object(options),
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        shards=shards,
        slices=slices,
    )
    with _progress(quiet=json_) as progress:
        workspace = Workspace.create(
            out,
            source=data,
            recipe=recipe,
            seed=seed,
            progress=progress,
            train_size=train_size,
            reference_size=reference_size,
            coins=coins,
        )
        made = workspace.train()
    facts = {
        "folder": str(out),
        "train": len(workspace.data.train),
        "seconds": round(made.seconds or 0.0, 2),
        "notes": list(workspace.data.notes),
    }
    if not json_:
        for note in workspace.data.notes:
            _print(f"note: {note}")
    _print(json.dumps(facts) if json_ else f"Trained on {facts['train']:,} samples in {facts['seconds']} s: {out}")


@app.command
def unlearn(
    method: Annotated[str, Parameter(help="Name of the method; see `obliviate methods`.")],
    *,
    out: Out,
    forget: Annotated[
        str | None,
        Parameter(help="What to forget: random:0.1, class:7, coins, id,id,…, or @FILE with one id a line. Asked once."),
    ] = None,
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="A hyperparameter, as NAME=VALUE; may be repeated.")
    ] = None,
    retain: Annotated[bool, Parameter(help="Whether the method may use the retained samples.")] = True,
    seed: Annotated[int | None, Parameter(help="Seed of the method; that of the folder if left out.")] = None,
    json_: Json = False,
) -> None:
    """Make the model of a folder forget by one method, and keep the outcome there."""
    from obliviate.methods import find
    from obliviate.workspace import Workspace

    chosen = configure(find(method), set_ or [])
    with _progress(quiet=json_) as progress:
        workspace = Workspace.open(out, progress=progress)
        first = not workspace.chosen
        if forget is not None:
            workspace.choose(forget)
        try:
            made = workspace.unlearn(chosen, seed=seed, retain=retain)
        except ObliviateError:
            if first:  # the folder is not bound to a request that came to nothing
                workspace.unchoose()
            raise
    facts = {
        "folder": str(out),
        "method": made.method,
        "forget": len(workspace.split.forget),
        "seconds": round(made.seconds or 0.0, 2),
        "notes": dict(made.notes),
    }
    forgot = f"{facts['forget']:,} of {len(workspace.data.train):,} samples ({workspace.rule})"
    done = f"{made.label}: done in {facts['seconds']} s; forgot {forgot}; now `obliviate audit --out {out}`"
    _print(json.dumps(facts) if json_ else done)


@app.command
def audit(
    *,
    out: Out,
    references: References = 16,
    retrained: Retrained = 3,
    margin: Annotated[
        float | None,
        Parameter(help="Largest difference of AUC that counts as none, in points; what the data resolve if left out."),
    ] = None,
    utility_margin: Annotated[float, Parameter(help="Largest loss of test accuracy that is allowed, in points.")] = 3.0,
    form: Annotated[
        Literal["softmax", "taylor"], Parameter(help="What the attack RMIA reads probabilities from logits by.")
    ] = "softmax",
    variance: Annotated[
        Literal["auto", "per_sample", "pooled", "shrunk"],
        Parameter(help="Where the attack LiRA takes a sample's variance from; auto is pooled below 64 references."),
    ] = "auto",
    screens: Annotated[
        bool, Parameter(negative="", help="Add the cheap attacks on one model that published tables show.")
    ] = False,
    shadows: Annotated[
        bool,
        Parameter(
            negative="",
            help="Attack by U-LiRA too: every reference forgets by the method of every unlearned model (dear).",
        ),
    ] = False,
    pictures: Annotated[
        bool, Parameter(help="Whether the report shows the most exposed forget samples, where they are images.")
    ] = True,
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Audit every model of a folder against retrained ones; what is missing for that is trained first."""
    from obliviate.audit.inputs import AuditSettings
    from obliviate.workspace import Workspace

    settings = AuditSettings(
        margin=None if margin is None else margin / 100,
        utility_margin=utility_margin / 100,
        form=form,
        variance=variance,
        screens=screens,
    )
    with _progress(quiet=json_) as progress:
        workspace = Workspace.open(out, progress=progress)
        results = workspace.audit(
            references=references,
            retrained=retrained,
            settings=settings,
            shadows=shadows,
            workers=workers,
            pictures=pictures,
        )
    _show(results, out, as_json=json_)


@app.command
def inspect(
    *,
    out: Out,
    retrained: Annotated[
        int, Parameter(help="Number of retrained models to compare with; those in the folder take part all the same.")
    ] = 3,
    epochs: Annotated[int, Parameter(help="Passes over the retain set that each copy relearns from.")] = 3,
    learning_rate: Annotated[
        float | None, Parameter(help="Learning rate of relearning; a tenth of the recipe's if left out.")
    ] = None,
    json_: Json = False,
) -> None:
    """Look into every model of a folder: relearning from retained samples, a last-layer probe, an untrained model."""
    from obliviate.workspace import Workspace

    with _progress(quiet=json_) as progress:
        workspace = Workspace.open(out, progress=progress)
        found = workspace.inspect(retrained=retrained, epochs=epochs, learning_rate=learning_rate)
    if json_:
        _print(json.dumps(found, allow_nan=False))
    else:
        _show_inspection(found, out)


@app.command
def references(
    *,
    out: Out,
    references: References = 16,
    workers: Workers = None,
    keep_weights: Annotated[bool, Parameter(help="Whether to keep their weights, which only shadows need.")] = True,
    json_: Json = False,
) -> None:
    """Train the reference models of a folder ahead of an audit, or more of them, and tell what is there."""
    from obliviate.references.pool import pools_in
    from obliviate.workspace import Workspace

    with _progress(quiet=json_) as progress:
        workspace = Workspace.open(out, progress=progress)
        pool = workspace.references(references, workers=workers, keep_weights=keep_weights)
    there = [
        {
            "fingerprint": one.fingerprint,
            "references": one.members,
            "with_weights": one.weights,
            "samples": one.samples,
            "megabytes": round(one.bytes / 1e6, 2),
            "used": one.fingerprint == pool.fingerprint,
        }
        for one in pools_in(pool.folder.parent)
    ]
    facts = {"folder": str(out), "fingerprint": pool.fingerprint, "seconds": round(pool.seconds, 2), "pools": there}
    if json_:
        _print(json.dumps(facts))
        return
    for one in there:
        _print(
            f"{one['fingerprint']}: {one['references']} references over {one['samples']:,} samples, "
            f"{one['with_weights']} with weights, {one['megabytes']} MB"
            + ("" if one["used"] else "; of other data, recipe or seed than this folder's")
        )


@app.command
def report(*, out: Out) -> None:
    """Write report.html again from the results of a folder."""
    from obliviate.workspace import write_report

    _print(f"Wrote {write_report(out)}")


@app.command
def methods(*, json_: Json = False) -> None:
    """List the methods: source, needs, exact or approximate, default hyperparameters."""
    from obliviate.methods import registry
    from obliviate.methods.base import describe

    described = [describe(cls) for cls in registry().values()]
    if json_:
        _print(json.dumps(described, indent=1))
        return
    from rich.padding import Padding
    from rich.text import Text

    console = _console()
    console.width = min(console.width, WIDEST)
    for one in described:
        needs = ", ".join(one["needs"]) or "nothing but the forget set"
        heading = Text.assemble(
            (one["name"], "bold"), f"   {'exact' if one['exact'] else 'approximate'}; needs {needs}"
        )
        console.print(heading)
        for text in (Text(one["summary"]), Text(one["source"], "dim"), Text(_defaults(one))):
            if text:
                console.print(Padding(text, (0, 0, 0, 4), expand=False))
        console.print()


def _defaults(described: Mapping[str, Any]) -> str:
    """Default hyperparameters as one text, with what becomes of those that are None."""
    cases = described["when_none"]
    parts = []
    for name, value in described["defaults"].items():
        chosen = [(case, values[name]) for case, values in cases.items() if name in values]
        told = ", ".join(str(one) if case == "always" else f"{one} {case}" for case, one in chosen)
        parts.append(f"{name}={value}" + (f" ({told})" if told else ""))
    return ", ".join(parts)


def configure(cls: type[Any], assignments: Sequence[str]) -> Any:
    """Make a method with hyperparameters given as NAME=VALUE; raises MethodError for wrong names or values."""
    import dataclasses

    kinds = _kinds(cls)
    fields = {one.name: one.default for one in dataclasses.fields(cls) if kinds[one.name]}
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or name not in fields:
            known = ", ".join(fields) or "none"
            raise MethodError(
                f"expected NAME=VALUE with a hyperparameter of {cls.name} ({known}), got {text!r}; correct it"
            )
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        if float in kinds[name] and type(parsed) is int:
            parsed = float(parsed)
        if type(parsed) not in kinds[name]:
            kind = " or ".join("null" if one is type(None) else one.__name__ for one in kinds[name])
            raise MethodError(
                f"expected {name} to be {kind} such as {json.dumps(fields[name])}, got {value!r}; correct --set {text}"
            )
        values[name] = parsed
    return cls(**values)


def _kinds(cls: type[Any]) -> dict[str, list[type]]:
    """The types that each field takes, of those that can be written on a command line; none for other fields."""
    found: dict[str, list[type]] = {}
    for name, hint in get_type_hints(cls).items():
        parts = [type(one) if get_origin(hint) is Literal else one for one in get_args(hint) or (hint,)]
        plain = [one for one in dict.fromkeys(parts) if one in {bool, int, float, str}]
        found[name] = [*plain, *(one for one in parts if one is type(None))] if plain else []
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; mistakes that a user can mend are printed without a traceback, with exit code 1."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # so that `--model module:function` finds a module of this folder
    try:
        app(arguments)
    except ObliviateError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; run the same command again to go on where it stopped\n")
        raise SystemExit(130) from None


# --------------------------------------------------------------------------------------------------- what is printed


def _show(results: Mapping[str, Any], out: Path, *, as_json: bool) -> None:
    if as_json:
        _print(json.dumps(results, allow_nan=False))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from obliviate.report.text import COLUMNS, notes, rows

    data = results["data"]
    title = f"forget {data['forget']:,} of {data['train']:,} training samples ({data['forget_rule']})"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for column in COLUMNS:
        text = column in {COLUMNS[0], COLUMNS[-1]}
        table.add_column(column, justify="left" if text else "right", no_wrap=column == COLUMNS[0])
    colours = {"consistent with retraining": "green", "not resolvable with these data": "yellow"}
    for model, (*cells, verdict) in zip(results["models"], rows(results), strict=True):
        table.add_row(*cells, f"[{colours.get(model['verdict'], 'red')}]{verdict}[/]")
    console = _console()
    console.print(table)
    if "coin_flips" in results:
        _show_coins(console, results["coin_flips"])
    for note in results.get("notes", []):
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        "\n".join(notes(results)) + "\n"
        f"{results['wall_seconds']:.0f} s, {results['peak_rss_mb']:.0f} MB. Open {out / 'report.html'}",
        highlight=False,
    )


def _show_coins(console: Console, coins: Mapping[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    heads, tails = coins["heads"], coins["tails"]
    table = Table(title=f"{heads + tails:,} coins, {heads:,} heads", box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("model", "guessed right", "95 %", "p-value"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for one in coins["models"]:
        table.add_row(
            one["name"],
            f"{one['correct']:,} ({one['accuracy']:.1f} %)",
            f"{one['low']:.1f} to {one['high']:.1f}",
            f"{one['p_value']:.2g}",
        )
    console.print(table)
    console.print(
        "An exact test of each model: retrained ones guess half of the coins. Guesses that are right in 55 % of cases\n"
        f"would be found with {100 * coins['power']:.0f} % power at level 5 %.",
        highlight=False,
    )


def _show_inspection(found: Mapping[str, Any], out: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    data, epochs = found["data"], found["epochs"]
    title = f"forget {data['forget']:,} of {data['train']:,} training samples ({data['forget_rule']})"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("model", "forget % by epoch", "ahead", "forget loss", "probe % ± 95 %", "ZRF"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for one in found["models"]:
        curve, probed = one["relearned"], one["probe"]
        table.add_row(
            one["name"],
            " → ".join(f"{value:.1f}" for value in curve["accuracy"]),
            "" if curve["ahead"] is None else f"{curve['ahead']:+.1f}".replace("-", "−"),
            f"{curve['loss'][0]:.3f} → {curve['loss'][-1]:.3f}",
            "" if probed is None else f"{probed['value']:.1f} ± {(probed['high'] - probed['low']) / 2:.1f}",
            f"{one['zrf']:.3f}",
        )
    console = _console()
    console.print(table)
    for note in found["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)
    passes = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    console.print(
        f"forget %: accuracy on the forget set before and in {passes} on retained samples only; ahead: by how many\n"
        "points more than the retrained models. probe: telling forget from unseen samples by the last layer's input.\n"
        "ZRF: 1 where outputs are those of an untrained model. Each means something beside retrained models only.\n"
        f"Wrote {out / 'inspection.json'}",
        highlight=False,
    )


def _console() -> Console:
    """A console as wide as the terminal, and wide enough for every table where there is none."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 120
    return console


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _json_object(text: str) -> dict[str, Any]:
    from obliviate.errors import RecipeError

    try:
        value = json.loads(text)
    except ValueError as error:
        raise RecipeError(
            f'expected a JSON object such as {{"classes": 10}}, got {text!r} ({error}); correct it'
        ) from error
    if not isinstance(value, dict):
        raise RecipeError(f'expected a JSON object such as {{"classes": 10}}, got {text!r}; correct it')
    return value


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """Show a bar per stage on a terminal, and a line per finished stage elsewhere; nothing when quiet."""
    if quiet:
        from obliviate.training.run import silent

        yield silent
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        known: dict[str, TaskID] = {}

        def show(stage: str, done: float, total: float) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
            bars.update(known[stage], completed=done, total=total)

        yield show


def _lines() -> Progress:
    began: dict[str, float] = {}
    told: set[str] = set()

    def show(stage: str, done: float, total: float) -> None:
        began.setdefault(stage, time.monotonic())
        if done >= total and stage not in told:
            told.add(stage)
            sys.stderr.write(f"{stage}: {time.monotonic() - began[stage]:.1f} s\n")
            sys.stderr.flush()

    return show
