"""One self-contained page from the audit's results: no script, no request, readable by a privacy officer."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from obliviate.errors import ReportError
from obliviate.report import pictures, plots, tables, wording

SCHEMA = "obliviate.results/3"

_TOP = (
    *("obliviate", "created", "seed", "task.kind", "data.name", "data.train", "data.forget", "data.retain"),
    *("data.test", "data.forget_rule", "data_sha256", "recipe", "references.models", "references.seconds"),
    *("wall_seconds", "peak_rss_mb", "versions", "machine", "settings.confidence", "settings.margin"),
    *("settings.utility_margin", "settings.forget", "settings.unseen", "yardstick", "floor.average_gap_mean"),
    *("controls.passed", "controls.reason", "controls.original", "controls.condemned"),
    *("floor.average_gap_max", "floor.ft_auc_min", "floor.ft_auc_max", "two_sample.auc", "two_sample.p_value"),
    *("two_sample.differs", "margin_bins", "models", "limits"),
)
_MODEL = (
    *("name", "role", "method", "seed", "settings", "seconds", "share_of_retraining", "weights_sha256", "average_gap"),
    *(
        "difference",
        "verdict",
        "margin",
        "resolution",
        "reason",
        "utility",
        "damage",
        "rates",
        "worst.shares",
        "worst.samples",
        "distances",
    ),
    *("screens", "klom", "curves.roc_ft", "curves.margins"),
    *(f"{kind}.{part}" for kind in ("accuracy", "accuracy_interval") for part in ("forget", "retain", "test")),
    *(f"attacks.rmia.{game}.{part}" for game in ("ft", "fr", "rt") for part in ("auc", "low", "high")),
)


def render(results: Mapping[str, Any]) -> str:
    """The report as one HTML page; equal results give equal bytes.

    `pictures` in the results show the worst samples, by name (`report.pictures`); without them only names are shown.
    Raises `ReportError` where `results` is not a complete `obliviate.results/3`.
    """
    check(results)
    peers = [m for m in results["models"] if m["role"] == "retrained"]
    styles = plots.styles(results["models"])
    models = [_view(m, style, peers) for m, style in zip(results["models"], styles, strict=True)]
    by_role = {role: [m for m in models if m["role"] == role] for role in ("original", "retrained", "unlearned")}
    unlearned, retrained = by_role["unlearned"], by_role["retrained"]
    titles = {"original": "Original", "retrained": f"Retrained ({len(retrained)})", "unlearned": "Unlearned"}
    return _environment().get_template("report.html.j2").render(
        results=results,
        unlearned=unlearned,
        retrained=retrained,
        models=models,
        groups=[(titles[role], group) for role, group in by_role.items() if group],
        headline=wording.headline(unlearned),
        answers=wording.answers(unlearned),
        control=wording.control(results["controls"], models),
        utility=tables.utility(models),
        margin=wording.extent([m["margin"] for m in unlearned or models]),
        never_saw=wording.span([results["floor"]["ft_auc_min"], results["floor"]["ft_auc_max"]], "–"),
        verdicts=wording.VERDICTS,
        decisive=wording.listed(_decisive(models)),
        shadows=any(m["klom"] for m in models),
        differences=tables.differences(models),
        attacks=tables.attacks(models),
        accuracy_means=None if results["task"]["kind"] == "classification" else results["task"].get("right"),
        rates=tables.rates(models),
        shares=tables.shares(models),
        distances=tables.distances(models),
        klom=tables.klom(models),
        competition=tables.competition(models),
        too_few_shadows=next((m["competition"] for m in models if tables.too_few(m)), None),
        screens=tables.screens(models),
        coins=results.get("coin_flips"),
        noise=results.get("planted_noise"),
        refused=results.get("notes") or [],
        exposed=[(m, _worst(m, results.get("pictures") or {})) for m in models if m["role"] != "retrained"],
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
    if results["yardstick"] not in ("retrained", "references"):
        raise ReportError(
            f"expected results.yardstick as retrained or references, got {results['yardstick']!r}; name what the "
            "models were compared with"
        )
    if results.get("pictures") is not None:
        pictures.check(results["pictures"])


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("obliviate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=wording.number, duration=wording.duration, share=wording.share, span=wording.span, plain=wording.plain
    )
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


def _view(model: Mapping[str, Any], style: plots.Style, peers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A model as the template needs it: with its colour, its badge, its verdict at a margin, and what to look out for.

    `peers` are the retrained models.
    """
    kind, sign, _ = wording.VERDICTS.get(model["verdict"], ("open", "", ""))
    fraction = model["share_of_retraining"]
    return {
        **model,
        "notes": wording.notes(model["settings"]),
        "badge": kind,
        "sign": sign,
        "caution": wording.caution(model, peers),
        "said": wording.at_margin(model["verdict"], model["margin"]),
        "variable": style.variable,
        "bar": None if fraction is None else round(min(100.0, max(0.0, 100 * fraction)), 1),
    }


def _decisive(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """The attacks that verdicts rest on, each once."""
    keys = dict.fromkeys(key for m in models for key in m["difference"] if key.startswith("ft_"))
    return [tables.attack_name(key.removeprefix("ft_")) for key in keys]


def _worst(model: Mapping[str, Any], shown: Mapping[str, str]) -> list[dict[str, Any]]:
    """The worst samples of a model, each with its picture or None."""
    return [sample | {"picture": shown.get(sample["name"])} for sample in model["worst"]["samples"][: pictures.SHOWN]]
