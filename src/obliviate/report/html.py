"""One self-contained page from the audit's results: no script, no request, readable by a privacy officer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from obliviate.report import pictures, tables, wording
from obliviate.report.auc_plot import ft_auc_plot
from obliviate.report.cost_plot import cost_plot
from obliviate.report.margin_plot import margin_plots
from obliviate.report.roc_plot import roc_plot
from obliviate.report.style import VARIABLES, Style, styles
from obliviate.results.model import ExposedSample, ModelResult
from obliviate.results.roles import Role
from obliviate.results.schema import Results


def render(results: Results) -> str:
    """The report as one HTML page; equal results give equal bytes.

    `pictures` in the results show the worst samples, by name (`report.pictures`); without them only names are shown.
    """
    models = results.models
    retrained, unlearned = results.of_role("retrained"), results.of_role("unlearned")
    looks = {model.name: Look.of(model, style, retrained) for model, style in zip(models, styles(models), strict=True)}
    cautions = {name: look.caution for name, look in looks.items()}
    titles: dict[Role, str] = {
        "original": "Original",
        "retrained": f"Retrained ({len(retrained)})",
        "unlearned": "Unlearned",
    }
    scored = [model.competition for model in models if model.competition is not None]
    return _environment().get_template("report.html.j2").render(
        results=results,
        unlearned=unlearned,
        retrained=retrained,
        models=models,
        looks=looks,
        leading=results.leading,
        groups=[(titles[role], group) for role in titles if (group := results.of_role(role))],
        headline=wording.headline(unlearned, cautions),
        answers=wording.answers(unlearned, cautions),
        control=wording.control(results),
        utility=tables.utility(models),
        margin=wording.extent([model.margin for model in unlearned or models]),
        never_saw=wording.span((results.floor.ft_auc_min, results.floor.ft_auc_max), "–"),
        verdicts=wording.VERDICTS,
        decisive=wording.listed(_decisive(results)),
        attack_sources=wording.listed([f"{attack.title} ({attack.source})" for attack in results.attacks]),
        attack_settings={
            attack.title: attack.settings | attack.fitted for attack in results.attacks if attack.settings
        },
        shadows=any(model.klom for model in models),
        differences=tables.differences(results),
        attacks=tables.attacks(results),
        accuracy_means=None if results.task.kind == "classification" else results.task.right,
        rates=tables.rates(results),
        shares=tables.shares(models),
        distances=tables.distances(models),
        klom=tables.klom(models),
        class_membership=tables.class_membership(models),
        competition=tables.competition(models),
        too_few_shadows=next((score for score in scored if score.quality is None), None),
        cheap_attacks=tables.cheap_attacks(models),
        coins=results.coin_flips,
        noise=results.planted_noise,
        exposed=[(model, _exposed(model, results)) for model in models if model.role != "retrained"],
        palette=[(variable, colour) for colour, variable in VARIABLES.items()],
        roc=[_drawn(roc_plot(results, narrow=narrow)) for narrow in (False, True)],
        ft_auc=[_drawn(ft_auc_plot(results, narrow=narrow)) for narrow in (False, True)],
        margins=[(name, _drawn(svg)) for name, svg in margin_plots(results)],
        cost=[_drawn(cost_plot(results, narrow=narrow)) for narrow in (False, True)],
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a model is shown: its colour, its badge, its verdict at a margin, and what to look out for.

    `notes` are what its method reported, `bar` its time in percent of a retraining.
    """

    variable: str
    badge: str
    sign: str
    sentence: str
    caution: str
    notes: dict[str, str]
    bar: float | None

    @classmethod
    def of(cls, model: ModelResult, style: Style, retrained: Sequence[ModelResult]) -> Look:
        """How a model is shown beside the retrained ones."""
        kind, sign, _ = wording.VERDICTS[model.verdict]
        fraction = model.share_of_retraining
        return cls(
            variable=style.variable,
            badge=kind,
            sign=sign,
            sentence=wording.at_margin(model.verdict, model.margin),
            caution=wording.caution(model, retrained),
            notes=wording.notes(model.settings),
            bar=None if fraction is None else round(min(100.0, max(0.0, 100 * fraction)), 1),
        )


@cache
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


def _decisive(results: Results) -> list[str]:
    """The titles of the attacks that verdicts rest on, each once."""
    names = dict.fromkeys(name for model in results.models for name in model.differences)
    return [results.titles[name] for name in names]


def _exposed(model: ModelResult, results: Results) -> list[tuple[ExposedSample, str | None]]:
    """The worst samples of a model, each with its picture or None."""
    return [(sample, results.pictures.get(sample.name)) for sample in model.exposure.samples[: pictures.SHOWN]]
