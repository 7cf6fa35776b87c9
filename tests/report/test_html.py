import copy
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any, get_args

import pytest

from example_results import example
from obliviate.errors import ResultsError
from obliviate.report.auc_plot import summary_svg
from obliviate.report.html import render
from obliviate.report.wording import VERDICTS
from obliviate.results.file import parse
from obliviate.results.values import Verdict

VOID = {"meta", "br", "link", "img", "hr", "input", "area", "base", "col", "embed", "source", "track", "wbr"}


undrawn = pytest.mark.usefixtures("without_plots")  # for tests of words, as plots are most of the time of a page


def shown(values: dict[str, Any]) -> str:
    return render(parse(values))


class Page(HTMLParser):
    """Fails on tags that do not match; collects ids, text and attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        self.ids += [v or "" for k, v in attrs if k == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def html() -> str:
    return shown(example())


def test_every_model_verdict_and_limit_is_on_the_page(html: str):
    text = Page(html).text
    results = example()
    for m in results["models"]:
        assert m["name"] in text
        assert m["verdict"] in text
        assert m["weights_sha256"] in text
        assert f"{m['attacks']['rmia']['ft']['value']:.1f}" in text
        if m["role"] == "unlearned":
            assert m["reason"] in text
    for limit in results["limits"]:
        assert limit in text
    assert "forget 500 of its 5,000 training samples" in text
    assert "1 of 4 unlearned models has forgotten them, as far as this audit can see." in text
    assert "AMUN cannot be told from models that never saw these samples, at a margin of 2.6 points." in text
    assert "consistent with retraining at margin 2.6 points" in text
    assert "attacks on fine-tune still recognise these samples." in text
    assert results["data_sha256"] in text


def test_page_is_well_formed_with_unique_ids_that_resolve(html: str):
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    used = set(re.findall(r"url\(#([^)]*)\)", html)) | {v[1:] for k, v in page.attributes if k == "href"}
    used |= {v for k, v in page.attributes if k == "aria-labelledby"}
    assert used <= set(page.ids)


def test_page_asks_for_nothing_from_outside(html: str):
    page = Page(html)
    assert "http" not in html
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"@import|image-set|srcset", html)
    assert all(v.startswith("#") for k, v in page.attributes if k in ("src", "href", "xlink:href"))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_equal_results_give_equal_bytes(html: str):
    assert shown(example()) == html
    assert summary_svg(parse(example())) == summary_svg(parse(example()))


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "$\\frac{1}{2}$ & $",
        "font-family: 'DejaVu Sans' stroke: #0072b2",
        "_hidden",
        "nul\x00\x1b line\nbreak",
        "忘却 --> <!--",
        "x" * 300,
        "",
    ],
)
def test_hostile_text_stays_text(name: str):
    results = example()
    results["models"] = results["models"][3:5]
    m = results["models"][1]
    m["name"] = m["method"] = m["reason"] = results["data"]["name"] = name
    results["limits"] = [name]
    results["recipe"] = {name: name}
    page = Page(shown(results))
    assert not page.tags & {"script", "img"}
    assert not [k for k, _ in page.attributes if k.startswith("on")]
    assert " ".join(name.split()).replace("\x00", "�")[:300] in page.text.replace("\x00", "�")
    ET.fromstring(summary_svg(parse(results)))


@undrawn
def test_what_a_method_reported_is_on_the_page_in_plain_words():
    results = example()
    notes = {"adversarial_found": 0.998, "adversarial_median_l2": 0.53061, "gradients_per_sample": 8.214}
    results["models"][4]["settings"] = notes
    results["models"][5]["settings"] = {"own_figure": -0.25}
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown(results)))
    assert "What the methods reported of their own work" in text
    for words in (
        "forget samples for which an adversarial example was found 99.8 %",
        "median L2 distance of these examples from their samples 0.5306",
        "gradients spent on the search, per forget sample 8.214",
        "own figure −0.25",
    ):
        assert words in text
    assert "adversarial_found" not in text


def test_methods_that_reported_nothing_leave_no_heading(html: str):
    assert "of their own work" not in html


def test_absent_figures_show_as_a_dash():
    results = example()
    for m in results["models"]:
        m |= {"share_of_retraining": None, "average_gap": None, "distances": None, "seconds": None}
        m["exposure"] = {"shares": {}, "samples": []}
    results["floor"] |= {"average_gap_mean": None, "average_gap_max": None}
    results["two_sample"] = dict.fromkeys(results["two_sample"])
    text = Page(shown(results)).text
    assert "–" in text
    assert "None" not in text.replace("None of the", "")
    assert "nan" not in text
    ET.fromstring(summary_svg(parse(results)))


@pytest.mark.parametrize(
    "roles", [("original",), ("unlearned",), ("retrained", "unlearned"), ("original", "unlearned")]
)
def test_page_stands_without_some_of_the_roles(roles: tuple[str, ...]):
    results = example()
    results["models"] = [m for m in results["models"] if m["role"] in roles]
    Page(shown(results))


def test_many_methods_keep_apart_and_on_the_page():
    results = example()
    for i in range(12):
        results["models"].append(copy.deepcopy(results["models"][4]) | {"name": f"method {i}"})
    text = Page(shown(results)).text
    assert all(f"method {i}" in text for i in range(12))


@undrawn
def test_a_failed_control_is_said(html: str):
    results = example()
    assert "Nobody can be acquitted" not in html
    results["controls"] |= {"passed": False, "reason": "these data cannot show forgetting"}
    assert "Nobody can be acquitted here: these data cannot show forgetting." in shown(results)


@undrawn
def test_damage_is_said_beside_any_verdict_but_that_of_lost_utility(html: str):
    results = example()
    assert "Damaged:</strong> accuracy" not in html
    results["models"][5]["damage"] = "accuracy on retained samples 48.0 instead of 98.5"
    assert "<strong>Damaged:</strong> accuracy on retained samples 48.0 instead of 98.5." in shown(results)
    results["models"][5]["verdict"] = "utility lost"  # which says so itself
    assert "Damaged:</strong> accuracy" not in shown(results)


# ------------------------------------------------------------------------------------------- what was compared


def test_figures_of_the_page_are_those_of_a_real_audit(full: dict[str, Any]):
    page = Page(shown(full))
    original, forgetful = full["models"][0], full["models"][3]
    assert original["verdict"] == "leaks"
    for m in full["models"]:
        decisive = [attack["difference"] for attack in m["attacks"].values() if attack["difference"] is not None]
        for figure in (
            *decisive,
            m["test_accuracy_difference"],
            *m["exposure"]["shares"].values(),
            *m["cheap_attacks"].values(),
        ):
            assert f"{abs(figure['value']):.1f}" in page.text
        assert f"{m['attacks']['rmia']['rates'][0]['tpr']['value']:.1f}" in page.text
        assert f"{m['distances']['forget']['js']:.3f}" in page.text
    for percentile in ("p50", "p90", "p99"):
        assert (
            f"{forgetful['klom']['unlearned'][percentile]:.2f} floor {forgetful['klom']['floor'][percentile]:.2f}"
            in (page.text)
        )
    assert "needs 10,000 unseen" in page.text
    assert "U-LiRA" in page.text
    low, high = full["floor"]["ft_auc_min"], full["floor"]["ft_auc_max"]
    assert page.text.count(f"{low:.1f}–{high:.1f}") >= 4  # beside every figure that 50 would be misread for


@undrawn
def test_without_retrained_models_the_page_says_what_was_compared_with(by_references: dict[str, Any]):
    text = Page(shown(by_references)).text
    assert by_references["baseline"] == "references"
    assert "not with retrained models, of which there was none" in text
    assert "each trained on a random half of all samples and judged on the forget samples that it never saw" in text
    assert "There is no average gap without retrained models." in text
    assert "models that really were trained again" not in text
    assert "the band that the retrained models span" not in text


@undrawn
def test_a_single_retrained_model_is_said_to_be_too_few(by_references: dict[str, Any]):
    by_references["models"].append(copy.deepcopy(by_references["models"][1]) | {"role": "retrained", "name": "retrain"})
    assert "not with retrained models, of which one is too few" in Page(shown(by_references)).text


@undrawn
def test_a_margin_that_was_set_before_is_told_from_one_that_the_data_resolve(html: str):
    assert "The margin is what these data can resolve" in html
    results = example()
    results["settings"]["margin"] = 5.0
    page = shown(results)
    assert "The margin was set before the audit" in page
    assert "±5.0 points, was set before the audit" in page


@undrawn
def test_samples_that_differ_by_themselves_are_warned_of(html: str):
    results = example()
    assert "differ from the unseen ones by themselves" not in html
    results["two_sample"] = {"auc": {"value": 91.2, "low": 90.0, "high": 92.4}, "p_value": 1 / 60, "differs": True}
    results["floor"] |= {"ft_auc_min": 33.3, "ft_auc_max": 35.1}
    text = Page(shown(results)).text
    assert "the forgotten samples differ from the unseen ones by themselves" in text
    assert "models that never saw them get 33.3–35.1 %" in text


@undrawn
@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("consistent with retraining", "Yes, as far as this audit can see. "),
        ("leaks", "No. "),
        ("over-unlearned", "Not as training again without them would have. "),
        ("utility lost", "That is not credited: the model is damaged. "),
        ("not resolvable with these data", "This audit cannot tell. "),
    ],
)
def test_one_model_is_answered_by_its_verdict_which_is_explained(verdict: str, words: str):
    results = example()
    results["models"] = [m for m in results["models"] if m["role"] != "unlearned" or m["name"] == "AMUN"]
    results["models"][-1]["verdict"] = verdict
    text = Page(shown(results)).text
    assert f"training samples? {words}" in text
    assert all(meaning in text for _, _, meaning in VERDICTS.values())
    assert set(VERDICTS) == set(get_args(Verdict))


@undrawn
def test_a_model_that_passes_on_average_is_not_praised_where_single_samples_stand_out():
    results = example()
    results["models"] = [m for m in results["models"] if m["role"] != "unlearned" or m["name"] == "AMUN"]
    results["models"][-1]["exposure"]["shares"]["0.01"] = {"value": 4.0, "low": 2.5, "high": 6.1}
    text = Page(shown(results)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "On average yes, as far as this audit can see, but single samples stand out." in text
    assert "Yet single samples stand out in AMUN" in text
    assert "4.0 % of the forgotten samples look more like training samples than 99 % of unseen ones do" in text
    # Retrained models that have as many excuse it.
    for m in results["models"]:
        m["exposure"]["shares"]["0.01"]["value"] = 4.0
    assert "stand out in AMUN" not in Page(shown(results)).text


@undrawn
def test_coins_and_what_could_not_be_done_are_on_the_page(html: str):
    assert "coin was tossed" not in html
    coin = {"name": "AMUN", "role": "unlearned", "trials": 1000, "correct": 612, "accuracy": 61.2, "low": 58.1}
    coin |= {"high": 64.2, "p_value": 6.4e-13, "calibrated": True}
    results = example() | {"notes": ["No shadows of retrain were made."]}
    results["coin_flips"] = {"heads": 502, "tails": 498, "power": 0.93, "models": [coin]}
    text = Page(shown(results)).text
    assert "No shadows of retrain were made." in text
    assert "tossed for each of 1,000 samples; the 502 heads" in text
    assert "with 93 % power" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "AMUN 612 1,000 61.2 58.1–64.2 6.4e-13" in text


@undrawn
def test_planted_noise_is_on_the_page(html: str):
    assert "Noise that was planted" not in html
    model = {"name": "AMUN", "role": "unlearned", "mean": -0.0512, "z": -1.145, "p_value": 0.874}
    tested = {"samples": 500, "sigma": 0.3, "detectable": 0.1112, "models": [model], "notes": []}
    results = example() | {"planted_noise": tested}
    text = Page(shown(results)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "standard deviation 0.3 was added to 500 samples" in text
    assert "A mean score of 0.111 would be found with 80 % power" in text
    assert "AMUN −0.051 −1.15 0.87" in text


@undrawn
def test_the_score_of_the_competition_stands_beside_its_floor_or_says_what_it_needs(
    full: dict[str, Any], by_references: dict[str, Any]
):
    text = Page(shown(full)).text
    assert "forgetting quality F" in text
    assert "0.125 floor 0.188 0.115" in text
    assert "needs at least" not in text
    few = {"models": 4, "shadows_needed": 64, "quality": None, "floor": None, "score": None}
    full["models"][-1]["competition"] = few
    text = Page(shown(full)).text
    assert "forgetting quality F" not in text
    assert "needs at least 64 references with their shadows: with groups of 4 models" in text
    assert "NeurIPS" not in Page(shown(by_references)).text


# ------------------------------------------------------------------------------------------- pictures


@undrawn
def test_worst_samples_are_shown_as_pictures_where_they_are_pictures(full: dict[str, Any]):
    page = Page(shown(full))
    assert "img" in page.tags
    sources = [value for key, value in page.attributes if key == "src"]
    assert sources
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    assert set(sources) == set(full["pictures"].values())
    alternatives = [value for key, value in page.attributes if key == "alt"]
    assert len(alternatives) == len(sources)
    worst = full["models"][3]["exposure"]["samples"][0]
    assert f"forget sample {worst['name']}, class {worst['label']}" in alternatives


@undrawn
def test_without_pictures_the_samples_are_named(by_references: dict[str, Any]):
    page = Page(shown(by_references))
    assert "img" not in page.tags
    assert by_references["models"][1]["exposure"]["samples"][0]["name"] in page.text


@pytest.mark.parametrize(
    "uri", ["http://example.org/a.png", "data:image/svg+xml;base64,AAAA", 'data:image/png;base64,AA" onerror="x', 3]
)
def test_pictures_from_elsewhere_are_refused(full: dict[str, Any], uri: object):
    full["pictures"]["x"] = uri
    with pytest.raises(ResultsError, match=r"expected pictures.x to be .*, got .*; it was edited"):
        shown(full)


def test_unknown_baseline_is_refused():
    with pytest.raises(ResultsError, match=r"expected baseline to be 'retrained' or 'references', got 'hope'"):
        shown(example() | {"baseline": "hope"})


@undrawn
def test_what_is_known_of_a_forgotten_class_stands_beside_the_retrained_models(full: dict[str, Any]):
    assert "know of the forgotten class" not in Page(shown(full)).text
    for number, model in enumerate(full["models"]):
        value = 90.0 if model["role"] == "original" else 30.0 + number
        model["class_membership"] = {"value": value, "low": value - 5, "high": value + 5}
    text = Page(shown(full)).text
    assert "What models still know of the forgotten class" in text
    assert "90.0" in text
