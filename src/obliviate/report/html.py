"""One self-contained page from the audit's results: no script, no request, readable by a privacy officer."""

import json
import math
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from obliviate.errors import ReportError
from obliviate.report import plots

SCHEMA = "obliviate.results/2"
MISSING = "–"

# verdict → (class of its badge, sign, what it means); the sign carries the verdict where colour does not reach.
VERDICTS = {
    "consistent with retraining": (
        "good",
        "✓",
        "The attack tells forget from unseen samples as badly as it does on models retrained without them, and "
        "accuracy stays within the utility margin.",
    ),
    "not forgotten": ("bad", "✕", "The attack still finds the forget samples more often than on retrained models."),
    "over-unlearned": (
        "warn",
        "↓",
        "The forget samples stand out because the model treats them worse than samples it never saw, which gives them "
        "away too.",
    ),
    "utility lost": (
        "warn",
        "▽",
        "The model lost more accuracy than the utility margin allows; its forgetting says little then.",
    ),
    "not resolvable": ("open", "?", "The intervals are too wide for a statement either way."),
}

# what a method reported → plain words, and whether it is a share; what is not listed shows under its own name.
NOTES = {
    "adversarial_found": ("forget samples for which an adversarial example was found", True),
    "adversarial_median_l2": ("median L2 distance of these examples from their samples", False),
    "gradients_per_sample": ("gradients spent on the search, per forget sample", False),
    "flipped_share": ("forget samples that a step across the boundary gave another class", True),
    "dampened_share": ("weights that were dampened", True),
    "tau": ("τ, the loss that the forget samples were to reach", False),
    "forget_epochs": ("passes over the forget set", False),
    "alpha": ("step along the influence (α)", False),
    "cg_steps": ("conjugate-gradient steps", False),
    "cg_residual": ("residual of the conjugate gradients", False),
    "mask_mean_minus_lambda": ("mean of the masks minus λ", False),
    "mask_spread": ("spread of the masks over pixels and pairs", False),
}

_TOP = (
    *("obliviate", "created", "seed", "task.kind", "data.name", "data.train", "data.forget", "data.retain"),
    *("data.test", "data.forget_rule", "data_sha256", "recipe", "references.models", "references.seconds"),
    *("wall_seconds", "peak_rss_mb", "versions", "machine", "settings.confidence", "settings.margin"),
    *("settings.utility_margin", "floor.average_gap_mean", "floor.average_gap_max", "floor.ft_auc_min"),
    *("floor.ft_auc_max", "margin_bins", "models", "limits"),
)
_MODEL = (
    *("name", "role", "method", "seconds", "share_of_retraining", "weights_sha256", "verdict", "reason"),
    *(f"{kind}.{part}" for kind in ("accuracy", "accuracy_interval") for part in ("forget", "retain", "test")),
    *(f"attacks.rmia.{game}.{part}" for game in ("ft", "fr", "rt") for part in ("auc", "low", "high")),
)


def render(results: Mapping[str, Any]) -> str:
    """The report as one HTML page; equal results give equal bytes.

    Raises `ReportError` where `results` is not a complete `obliviate.results/2`.
    """
    check(results)
    models = [_view(m, s) for m, s in zip(results["models"], plots.styles(results["models"]), strict=True)]
    unlearned = [m for m in models if m["role"] == "unlearned"]
    retrained = [m for m in models if m["role"] == "retrained"]
    roles = [("Original", "original"), (f"Retrained ({len(retrained)})", "retrained"), ("Unlearned", "unlearned")]
    return _environment().get_template("report.html.j2").render(
        results=results,
        unlearned=unlearned,
        retrained=retrained,
        models=models,
        groups=[(title, group) for title, role in roles if (group := [m for m in models if m["role"] == role])],
        headline=_headline(unlearned),
        control=_control(models),
        resolution=_resolution(results["models"]),
        attacks=_attacks(results["models"]),
        verdicts=VERDICTS,
        palette=[(variable, colour) for colour, variable in plots.VARIABLES.items()],
        roc=[_drawn(plots.roc_plot(results, narrow=narrow)) for narrow in (False, True)],
        ft_auc=[_drawn(plots.ft_auc_plot(results, narrow=narrow)) for narrow in (False, True)],
        margins=[(name, _drawn(svg)) for name, svg in plots.margin_plots(results)],
        cost=[_drawn(plots.cost_plot(results, narrow=narrow)) for narrow in (False, True)],
    )  # fmt: skip


def check(results: Mapping[str, Any]) -> None:
    """Raise `ReportError` unless everything that the page shows is there."""
    if not isinstance(results, Mapping):
        raise ReportError(f"expected results as a mapping, got {type(results).__name__}; pass the parsed results.json")
    schema = results.get("schema")
    if schema != SCHEMA:
        raise ReportError(
            f"expected schema {SCHEMA!r}, got {schema!r}; run the audit again with this version of obliviate"
        )
    for path in _TOP:
        _at(results, path, "results")
    models = results["models"]
    if not isinstance(models, list) or not models:
        raise ReportError(
            f"expected results.models as a list with at least one model, got {models!r}; audit a model first"
        )
    for i, model in enumerate(models):
        for path in _MODEL:
            _at(model, path, f"results.models[{i}]")
        if model["role"] not in ("original", "retrained", "unlearned"):
            raise ReportError(
                f"expected results.models[{i}].role as original, retrained or unlearned, got {model['role']!r}; "
                "name the part that the model plays in the audit"
            )


def number(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """A figure with thousands separators and a true minus; a dash where there is none.

    >>> number(-1234.56), number(None)
    ('−1,234.6', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    return text.replace("-", "" if float(text.replace(",", "")) == 0 else "−")


def duration(seconds: float | None) -> str:
    """Seconds in the unit that a reader would choose.

    >>> duration(4.44), duration(150), duration(7200)
    ('4.4 s', '2 min 30 s', '2.0 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    return f"{seconds / 3600:,.1f} h"


def share(fraction: float | None) -> str:
    """A fraction of a retraining in percent, with a digit more below 10 %.

    >>> share(0.19), share(0.034), share(None)
    ('19 %', '3.4 %', '–')
    """
    return MISSING if fraction is None else f"{number(100 * fraction, 1 if abs(fraction) < 0.1 else 0)} %"


def span(interval: Any, between: str = " to ") -> str:
    """An interval from `[low, high]` or `{"low": …, "high": …}`; empty where there is none."""
    low, high = (
        (interval.get("low"), interval.get("high")) if isinstance(interval, Mapping) else interval or (None, None)
    )
    return "" if low is None or high is None else f"{number(low)}{between}{number(high)}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("obliviate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, duration=duration, share=share, span=span, plain=_plain)
    return environment


def _drawn(svg: str) -> Markup:
    """A picture of ours, which the template must not escape; matplotlib has escaped the names inside."""
    return Markup(svg)  # noqa: S704


def _at(value: Any, path: str, where: str) -> None:
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise ReportError(
                f"expected {where}.{path}, got none; write the file with `obliviate` and leave it unedited"
            )
        value = value[key]


def _view(model: Mapping[str, Any], style: plots.Style) -> dict[str, Any]:
    """A model as the template needs it: its colour, its badge, and the parts that may be absent as None."""
    kind, sign, _ = VERDICTS.get(model["verdict"], ("open", "", ""))
    optional = {"average_gap": model.get("average_gap"), "difference": model.get("difference") or {}}
    fraction = model["share_of_retraining"]
    bar = None if fraction is None else round(min(100.0, max(0.0, 100 * fraction)), 1)
    optional["notes"] = _notes(model.get("settings") or {})
    return {**model, **optional, "badge": kind, "sign": sign, "variable": style.variable, "bar": bar}


def _notes(settings: Mapping[str, Any]) -> dict[str, str]:
    """What the method reported, in plain words, with four digits."""
    notes: dict[str, str] = {}
    for key, value in settings.items():
        words, is_share = NOTES.get(key, (key.replace("_", " "), False))
        if not isinstance(value, int | float) or isinstance(value, bool):
            notes[words] = _plain(value)
        else:
            notes[words] = f"{100 * value:.4g} %" if is_share else f"{value:.4g}".replace("-", "−")
    return notes


def _headline(unlearned: list[dict[str, Any]]) -> str:
    """The outcome in one sentence, no stronger than the verdicts."""
    if not unlearned:
        return "No unlearned model was audited."
    passed = sum(m["verdict"] == "consistent with retraining" for m in unlearned)
    if len(unlearned) == 1:
        return f"Verdict on {unlearned[0]['name']}: {unlearned[0]['verdict']}."
    if passed == 0:
        return f"None of the {len(unlearned)} unlearned models is consistent with retraining."
    verb = "is" if passed == 1 else "are"
    return (
        f"{passed} of {len(unlearned)} unlearned models {verb} consistent with a model retrained without those samples."
    )


def _control(models: list[dict[str, Any]]) -> tuple[bool, str] | None:
    """Whether the audit rejects the original and accepts retraining; without that its verdicts say little."""
    original = [m for m in models if m["role"] == "original" and m["verdict"]]
    retrained = [m for m in models if m["role"] == "retrained" and m["verdict"]]
    if not original and not retrained:
        return None
    accepted = sum(m["verdict"] == "consistent with retraining" for m in retrained)
    rejected = all(m["verdict"] == "not forgotten" for m in original)
    said = [f"the original was judged “{m['verdict']}”" for m in original]
    said += [f"{accepted} of {len(retrained)} retrained models “consistent with retraining”"] if retrained else []
    return rejected and accepted == len(retrained), " and ".join(said)


def _resolution(models: list[Mapping[str, Any]]) -> float | None:
    """The widest half-interval of FT-AUC: smaller leaks could have gone unseen."""
    fts = [m["attacks"]["rmia"]["ft"] for m in models]
    return max(((ft["high"] - ft["low"]) / 2 for ft in fts if None not in (ft["low"], ft["high"])), default=None)


def _attacks(models: list[Mapping[str, Any]]) -> list[str]:
    """Every attack of the results, the default first."""
    return ["rmia", *sorted({name for m in models for name in m["attacks"]} - {"rmia"})]


def _plain(value: Any) -> str:
    """A setting as people write it: nested ones as JSON."""
    return (
        json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) or value is None else str(value)
    )
