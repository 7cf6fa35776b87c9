"""The commands: each reads its arguments, calls the work, and prints what came of it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from obliviate.cli import printing
from obliviate.cli.arguments import (
    PLAIN,
    ComputeOptions,
    Executor,
    Json,
    Out,
    Pseudonyms,
    References,
    Request,
    Retrained,
    Seed,
    Trust,
    Workers,
    configure,
    json_object,
    share_of,
    weights_of,
    written,
)
from obliviate.cli.progress import progress
from obliviate.errors import MethodError

if TYPE_CHECKING:
    from obliviate.data.sources import Data
    from obliviate.training.recipe import Recipe

app = App(
    name="obliviate",
    help="Make a trained PyTorch model forget chosen training samples, and show with statistics how well it did.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
    default_parameter=Parameter(converter=written),
)


@app.command
def demo(*, out: Out = Path("demo"), seed: Seed = 0, compute: ComputeOptions = PLAIN, json_: Json = False) -> None:
    """Do the whole job on shipped data in about two minutes: train, forget by four methods, audit, report."""
    from obliviate.demo import demo as run
    from obliviate.requests import Requests

    with compute.used(), progress(quiet=json_) as show_progress:
        results = run(out, seed=seed, progress=show_progress)
    if json_:
        printing.line(json.dumps(results.to_dict(), allow_nan=False))
    else:
        printing.audit(results, Requests(out).at(1).report)


@app.command
def train(
    *,
    out: Out,
    data: Annotated[
        str,
        Parameter(
            help="fashion_mnist_5k (shipped), digits, diabetes, fashion_pairs, a .npz file with train_x, train_y, "
            "test_x, test_y, or a folder: idx, CIFAR, SVHN, images in train/CLASS and test/CLASS, table or texts with "
            "a data.toml, a plain text (docs/data.md)."
        ),
    ] = "fashion_mnist_5k",
    train_size: Annotated[int | None, Parameter(help="Train on a random part of this many samples.")] = None,
    holdout_size: Annotated[
        int | None,
        Parameter(help="Hold out this many training samples, for methods that need unseen ones."),
    ] = None,
    model: Annotated[
        str | None,
        Parameter(
            help="Architecture: small_cnn, mlp, resnet8, resnet18, resnet20, resnet56, vgg11, vgg16, vgg19, "
            "text_transformer, causal_transformer, huggingface, or module:function of your own. The kind of the data "
            "chooses if left out: small_cnn for images, mlp for rows, a transformer for texts."
        ),
    ] = None,
    options: Annotated[
        str,
        Parameter(
            help="Keyword arguments of the architecture, as a JSON object; what the shape of the data tells need not "
            "be given."
        ),
    ] = "{}",
    epochs: Annotated[int | None, Parameter(help="Passes over the training set; 20, of transformers 10.")] = None,
    optimizer: Annotated[str | None, Parameter(help="sgd (with momentum), adam or adamw, as for transformers.")] = None,
    learning_rate: Annotated[
        float | None, Parameter(help="Peak learning rate; 0.1 with sgd, 0.003 for transformers.")
    ] = None,
    batch_size: Annotated[int, Parameter(help="Samples per step.")] = 64,
    coins: Annotated[
        int | None,
        Parameter(
            help="Toss a fair coin for this many training samples and leave the tails out, for an exact test: "
            "`unlearn --forget coins` then forgets the heads."
        ),
    ] = None,
    noise: Annotated[
        int | None,
        Parameter(
            help="Add noise to this many training samples, for an exact test of gradients: `unlearn --forget noise` "
            "then forgets them."
        ),
    ] = None,
    noise_scale: Annotated[
        float | None, Parameter(help="Standard deviation of the noise, in units of the inputs; 0.1 if left out.")
    ] = None,
    class_weights: Annotated[
        str | None,
        Parameter(
            help="Weights of the classes in the loss, one above 0 a class with commas between them (1,50), or "
            "balanced, so that all classes count the same; of classification only."
        ),
    ] = None,
    shards: Annotated[int, Parameter(help="Parts of the data with a model each, whose votes are averaged (sisa).")] = 1,
    slices: Annotated[int, Parameter(help="Parts of each shard, with a checkpoint after each (sisa).")] = 1,
    pseudonyms: Pseudonyms = None,
    seed: Seed = 0,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Train the original model and keep it in a folder, ready to be unlearned and audited."""
    from obliviate.training.defaults import recipe_for
    from obliviate.workspace import Workspace

    asked = {"epochs": epochs, "optimizer": optimizer, "learning_rate": learning_rate}
    given = {name: value for name, value in asked.items() if value is not None}
    settings: dict[str, Any] = {"batch_size": batch_size, "shards": shards, "slices": slices, **given}
    architecture: dict[str, Any] = {"model": model, "options": json_object(options)}

    def recipe(loaded: Data) -> Recipe:
        weights = None if class_weights is None else weights_of(class_weights, loaded)
        return recipe_for(loaded, **architecture, **settings, class_weights=weights)

    with compute.used(), progress(quiet=json_) as show_progress:
        workspace = Workspace.create(
            out,
            source=data,
            recipe=recipe,
            seed=seed,
            progress=show_progress,
            train_size=train_size,
            holdout_size=holdout_size,
            coins=coins,
            noise=noise,
            noise_scale=noise_scale,
            pseudonyms=pseudonyms,
        )
        trained = workspace.train()
    facts = {
        "folder": str(out),
        "train": len(workspace.data.train),
        "seconds": round(trained.seconds or 0.0, 2),
        "notes": list(workspace.data.notes),
    }
    if not json_:
        for note in workspace.data.notes:
            printing.line(f"note: {note}")
    printing.line(
        json.dumps(facts) if json_ else f"Trained on {facts['train']:,} samples in {facts['seconds']} s: {out}"
    )


@app.command
def unlearn(
    method: Annotated[str, Parameter(help="Name of the method; see `obliviate methods`.")],
    *,
    out: Out,
    forget: Annotated[
        str | None,
        Parameter(
            help="What to forget: random:0.1, class:7 or class:NAME, owner:NAME,…, 'where:CONDITION', "
            "mislabelled:0.01, memorised:0.01, coins, noise, id,id,…, or a list of ids or owners: @FILE, owner:@FILE, "
            "with :COLUMN behind a table (docs/forget.md). Asked once a request."
        ),
    ] = None,
    after: Annotated[
        str | None,
        Parameter(
            help="Begin a second or later request from the unlearned model with this id, or the beginning of it "
            "(`obliviate status` lists them); what was forgotten before stays out."
        ),
    ] = None,
    with_copies: Annotated[
        bool,
        Parameter(negative="", help="Forget training samples with the same input under other names as well."),
    ] = False,
    unknown: Annotated[
        Literal["refuse", "skip"],
        Parameter(
            help="What becomes of a list with names that the training set does not have: it is refused, or they are "
            "skipped; what became of each name is kept with the request."
        ),
    ] = "refuse",
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="A hyperparameter, as NAME=VALUE; may be repeated.")
    ] = None,
    retain: Annotated[bool, Parameter(help="Whether the method may use the retained samples.")] = True,
    teachers: Annotated[
        int | None,
        Parameter(
            help="Models that never_seen learns from, 8 if left out, and that --tune judges by, none if left out; "
            "trained first, each sample is unknown to half of them."
        ),
    ] = None,
    tune: Annotated[
        int,
        Parameter(
            help="Try up to this many settings (8 is good), and keep the outcome nearest to a model that never saw the "
            "samples, as --teachers or unseen samples tell; 0 takes the settings as they are."
        ),
    ] = 0,
    budget: Annotated[
        str | None,
        Parameter(
            help="What it may cost, as a share of a retraining (15%): the method is as long as that pays for, by what "
            "passes through the model in two short runs."
        ),
    ] = None,
    seed: Annotated[int | None, Parameter(help="Seed of the method; that of the folder if left out.")] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Show what would be forgotten and by which method, and change nothing.")
    ] = False,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Make the model of a folder forget by one method, and keep the outcome there."""
    from obliviate.methods import find
    from obliviate.workspace import Workspace

    chosen = configure(find(method), set_ or [])
    share = None if budget is None else share_of(budget)
    if dry_run and share is not None:
        raise MethodError(
            "expected --budget or --dry-run, got both; what a method costs is known from two short runs of it only, "
            "leave out one"
        )
    if dry_run:
        asked = Workspace.open(out, trust=trust, pseudonyms=pseudonyms).preview(
            chosen, forget=forget, after=after, retain=retain, with_copies=with_copies, teachers=teachers, tune=tune,
            unknown=unknown,
        )  # fmt: skip
        if json_:
            printing.line(json.dumps(asked, allow_nan=False))
        else:
            printing.preview(asked)
        return
    with compute.used(), progress(quiet=json_) as show_progress:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        unlearned = workspace.unlearn(
            chosen,
            forget=forget,
            after=after,
            seed=seed,
            retain=retain,
            with_copies=with_copies,
            teachers=teachers,
            tune=tune,
            budget=share,
            unknown=unknown,
        )
        request = len(workspace.requests) if forget is None and after is None else workspace.following(after)
    elsewhere = workspace.elsewhere(request)
    facts = {
        "folder": str(out),
        "model": unlearned.id,
        "method": unlearned.method,
        "request": request,
        "forget": len(workspace.requests[request - 1].ids),
        "seconds": round(unlearned.seconds or 0.0, 2),
        "notes": dict(unlearned.notes),
        "effect": None if unlearned.effect is None else unlearned.effect.to_dict(),
        "tuning": None if unlearned.tuning is None else dict(unlearned.tuning),
        "copies": len(elsewhere.copies),
        "unseen": {"test": elsewhere.test, "holdout": elsewhere.holdout},
    }
    if asked := workspace.requests[request - 1].asked:
        facts["asked"] = workspace.requests[request - 1].outcomes
    if not json_:
        if asked:
            printing.asked(asked)
        for note in elsewhere.notes:
            printing.line(f"note: {note}")
    forgot = (
        f"{facts['forget']:,} of {len(workspace.data.train):,} samples ({workspace.requests[request - 1].full_rule})"
    )
    done = (
        f"{unlearned.label}: done in {facts['seconds']} s; forgot {forgot}; kept as {unlearned.id}; "
        f"now `obliviate audit --out {out}`"
    )
    if json_:
        printing.line(json.dumps(facts, allow_nan=False))
        return
    if unlearned.tuning is not None:
        printing.tuning(unlearned.tuning)
    printing.line(done)
    if share is not None:
        names = (field.name for field in fields(chosen) if field.name in unlearned.notes)
        lengths = ", ".join(f"{name}={unlearned.notes[name]:g}" for name in names)
        printing.line(
            f"budget: {100 * share:g} % of a retraining, of which {100 * unlearned.notes['expected_share']:.0f} % were "
            f"expected to be taken: {lengths}"
        )
    if unlearned.effect is not None:
        printing.effect(unlearned.effect, tuned=unlearned.tuning is not None)


@app.command
def audit(
    *,
    out: Out,
    references: References = 16,
    retrained: Retrained = 3,
    request: Request = None,
    margin: Annotated[
        float | None,
        Parameter(help="Largest difference of AUC that counts as none, in points; what the data resolve if left out."),
    ] = None,
    utility_margin: Annotated[
        float, Parameter(help="Largest loss of accuracy, recall and their like that is allowed, in points.")
    ] = 3.0,
    form: Annotated[
        Literal["softmax", "taylor"], Parameter(help="What the attack RMIA reads probabilities from logits by.")
    ] = "softmax",
    variance: Annotated[
        Literal["auto", "per_sample", "pooled", "shrunk"],
        Parameter(help="Where the attack LiRA takes a sample's variance from; auto is pooled below 64 references."),
    ] = "auto",
    attack: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="Add the attack of this name (`obliviate attacks`); may be given several times."),
    ] = (),
    cheap_attacks: Annotated[
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
    executor: Executor = None,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Audit every model of a request against retrained ones; what is missing for that is trained first."""
    from obliviate.audit.inputs import AuditSettings
    from obliviate.membership import find, usual
    from obliviate.references.executors import opened
    from obliviate.workspace import Workspace

    settings = AuditSettings(
        margin=None if margin is None else margin / 100,
        utility_margin=utility_margin / 100,
        attacks=(*usual(form=form, variance=variance), *(find(name)() for name in attack)),
        cheap_attacks=cheap_attacks,
    )
    with compute.used(), progress(quiet=json_) as show_progress, opened(executor) as given:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        results = workspace.audit(
            references=references,
            retrained=retrained,
            request=request,
            settings=settings,
            shadows=shadows,
            workers=workers,
            executor=given,
            pictures=pictures,
        )
        place = workspace.place(request)
    if json_:
        printing.line(json.dumps(results.to_dict(), allow_nan=False))
    else:
        printing.audit(results, place.report)


@app.command
def inspect(
    *,
    out: Out,
    retrained: Annotated[
        int, Parameter(help="Number of retrained models to compare with; those in the folder take part all the same.")
    ] = 3,
    request: Request = None,
    epochs: Annotated[int, Parameter(help="Passes over the retain set that each copy relearns from.")] = 3,
    learning_rate: Annotated[
        float | None, Parameter(help="Learning rate of relearning; a tenth of the recipe's if left out.")
    ] = None,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Look into every model of a request: relearning from retained samples, a last-layer probe, an untrained model."""
    from obliviate.workspace import Workspace

    with compute.used(), progress(quiet=json_) as show_progress:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        results = workspace.inspect(retrained=retrained, request=request, epochs=epochs, learning_rate=learning_rate)
        place = workspace.place(request)
    if json_:
        printing.line(json.dumps(results, allow_nan=False))
    else:
        printing.inspection(results, place.inspection)


@app.command
def references(
    *,
    out: Out,
    references: References = 16,
    workers: Workers = None,
    executor: Executor = None,
    keep_weights: Annotated[bool, Parameter(help="Whether to keep their weights, which only shadows need.")] = True,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Train the reference models of a folder ahead of an audit, or more of them, and tell what is there."""
    from obliviate.references.executors import opened
    from obliviate.references.pool import PoolFacts, pools_in
    from obliviate.workspace import Workspace

    with compute.used(), progress(quiet=json_) as show_progress, opened(executor) as given:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        pool = workspace.references(references, workers=workers, executor=given, keep_weights=keep_weights)
    used = PoolFacts.read(pool.folder)
    pools = [
        {
            "fingerprint": pool_facts.fingerprint,
            "references": pool_facts.members,
            "with_weights": pool_facts.weights,
            "samples": pool_facts.samples,
            "megabytes": round(pool_facts.bytes / 1e6, 2),
            "used": pool_facts.fingerprint == pool.fingerprint,
            "differences": pool_facts.differences(vars(used)),
        }
        for pool_facts in pools_in(pool.folder.parent)
    ]
    facts = {"folder": str(out), "fingerprint": pool.fingerprint, "seconds": round(pool.seconds, 2), "pools": pools}
    if json_:
        printing.line(json.dumps(facts))
        return
    for entry in pools:
        printing.line(
            f"{entry['fingerprint']}: {entry['references']} references over {entry['samples']:,} samples, "
            f"{entry['with_weights']} with weights, {entry['megabytes']} MB"
            + ("" if entry["used"] else f"; not this folder's: {entry['differences']}")
        )


@app.command
def compare(
    *folders: Annotated[Path, Parameter(help="Audited folders that differ in their seeds and forget sets only.")],
    request: Request = None,
    out: Annotated[
        Path | None, Parameter(help="Also write comparison.json, comparison.csv and comparison.svg into this folder.")
    ] = None,
    json_: Json = False,
) -> None:
    """Compare the methods of several audited folders over training seeds and forget sets, with intervals."""
    from obliviate.comparison import compare as run

    results = run(folders, request=request)
    if out is not None:
        results.write(out)
    if json_:
        printing.line(json.dumps(results.to_dict(), allow_nan=False))
    else:
        printing.comparison(results)


@app.command
def report(*, out: Out, request: Request = None) -> None:
    """Write report.html again from the results of a request."""
    from obliviate.workspace import write_report

    printing.line(f"Wrote {write_report(out, request)}")


@app.command
def status(*, out: Out, json_: Json = False) -> None:
    """Tell what was asked of a folder, which models were made for it, where results lie, and who works there."""
    from obliviate.requests.status import status as read

    folder = read(out)
    if json_:
        printing.line(json.dumps(folder, allow_nan=False))
    else:
        printing.status(folder)


@app.command
def attacks(*, json_: Json = False) -> None:
    """List the attacks: source, needs, whether verdicts rest on them, default settings."""
    from obliviate.membership import registry
    from obliviate.membership.base import describe

    described = [describe(cls) for cls in registry().values()]
    if json_:
        printing.line(json.dumps(described, indent=1))
        return
    printing.attacks(described)


@app.command
def methods(*, json_: Json = False) -> None:
    """List the methods: source, needs, exact or approximate, default hyperparameters."""
    from obliviate.methods import registry
    from obliviate.methods.base import describe

    described = [describe(cls) for cls in registry().values()]
    if json_:
        printing.line(json.dumps(described, indent=1))
        return
    printing.methods(described)
