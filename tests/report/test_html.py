import copy
import hashlib
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from obliviate.errors import ReportError
from obliviate.report.html import check, render
from obliviate.report.plots import summary_svg

VOID = {"meta", "br", "link", "img", "hr", "input", "area", "base", "col", "embed", "source", "track", "wbr"}
EDGES = np.linspace(-10, 18, 41)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def density(rng: np.random.Generator, mean: float) -> list[float]:
    values, _ = np.histogram(rng.normal(mean, 3, 4000).clip(-10, 18), bins=EDGES, density=True)
    return values.tolist()


def roc(auc: float) -> dict[str, list[float]]:
    """A binormal-like curve tpr = fpr^k, whose area is 1 / (1 + k)."""
    fpr = np.concatenate([[0.0], np.geomspace(1 / 500, 1, 80)])
    return {"fpr": fpr.tolist(), "tpr": (fpr ** (100 / auc - 1)).tolist()}


def model(
    name: str,
    role: str,
    method: str,
    accuracy: tuple[float, float, float],
    ft: float,
    verdict: str,
    seconds: float,
    share: float | None,
    reason: str = "One sentence on why.",
) -> dict[str, Any]:
    rng = np.random.default_rng(int(sha(name)[:8], 16))
    parts = dict(zip(("forget", "retain", "test"), accuracy, strict=True))

    def game(auc: float) -> dict[str, float]:
        return {"auc": auc, "low": auc - 2.8, "high": auc + 2.8}

    attack = {"ft": game(ft), "fr": game(113 - ft), "rt": game(63.4)}
    difference = {
        "ft_auc": {"value": ft - 50.4, "low": ft - 53.4, "high": ft - 47.4},
        "test_accuracy": {"value": accuracy[2] - 87.1, "low": accuracy[2] - 88.4, "high": accuracy[2] - 85.8},
    }
    return {
        "name": name,
        "role": role,
        "method": method,
        "seed": 0,
        "settings": {},
        "accuracy": parts,
        "accuracy_interval": {k: [max(0.0, v - 1.4), min(100.0, v + 1.4)] for k, v in parts.items()},
        "attacks": {"rmia": attack, "rmia_offline": {k: game(v["auc"] - 0.9) for k, v in attack.items()}},
        "average_gap": abs(ft - 50.4) / 2,
        "difference": difference if role == "unlearned" else None,
        "seconds": seconds,
        "share_of_retraining": share,
        "weights_sha256": sha(name),
        "verdict": verdict,
        "reason": reason,
        "curves": {
            "roc_ft": roc(ft),
            "margins": {
                "forget": density(rng, 4 + (ft - 50) / 3),
                "retain": density(rng, 9),
                "unseen": density(rng, 4),
            },
        },
    }


def example() -> dict[str, Any]:
    """Results such as a run of four methods on 5,000 images leaves behind; a fresh dict on every call."""
    same = "consistent with retraining"
    models = [
        model("original", "original", "train(epochs=20)", (100.0, 99.7, 88.0), 64.3, "not forgotten", 23.4, None),
        *(
            model(f"retrained-{i}", "retrained", "Retrain()", (87.2 + i / 2, 99.8, 87.0 + i / 4), ft, same, 22.9, 1.0)
            for i, ft in enumerate((50.4, 49.1, 51.6))
        ),
        model(
            "AMUN", "unlearned", "AMUN(epochs=3, learning_rate=0.01, steps=50)", (88.4, 98.9, 87.1), 51.2, same,
            4.4, 0.19,
            "FT-AUC differs from retraining by +0.8 points, and the whole interval lies within the margin of 5 points.",
        ),
        model(
            "fine-tune", "unlearned", "FineTune(epochs=3, learning_rate=0.05)", (97.2, 99.9, 88.1), 60.7,
            "not forgotten", 3.6, 0.157, "FT-AUC is 10.3 points above the retrained models.",
        ),
        model(
            "gradient ascent", "unlearned", "GradientAscent(epochs=2)", (31.0, 74.2, 69.5), 38.2, "utility lost",
            0.8, 0.035, "Test accuracy is 17.6 points below the retrained models.",
        ),
        model(
            "boundary", "unlearned", "Boundary(epochs=4)", (79.6, 97.4, 85.6), 44.9, "over-unlearned", 5.9, 0.26,
            "Forget samples stand out: FT-AUC is 5.5 points below the retrained models.",
        ),
    ]  # fmt: skip
    return {
        "schema": "obliviate.results/1",
        "obliviate": "0.1.0",
        "created": "2026-11-21T05:00:00Z",
        "seed": 0,
        "task": {"kind": "classification", "classes": 10},
        "data": {
            "name": "fashion_mnist_5k",
            "train": 5000,
            "forget": 500,
            "retain": 4500,
            "reference": 500,
            "test": 2500,
            "forget_rule": "random 10 %",
        },
        "data_sha256": sha("data"),
        "recipe": {"model": "small_cnn", "epochs": 20, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.1},
        "references": {"models": 16, "seconds": 45.1, "fingerprint": sha("pool")},
        "wall_seconds": 101.2,
        "peak_rss_mb": 900.1,
        "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.3.1"},
        "machine": {"cpu": "Example CPU @ 2.60GHz", "cores": 2},
        "settings": {"gamma": 2.0, "temperature": 2.0, "confidence": 0.95, "margin": 5.0, "utility_margin": 3.0},
        "floor": {
            "average_gap_mean": 0.62,
            "average_gap_max": 0.94,
            "ft_auc_min": 49.1,
            "ft_auc_max": 51.6,
            "retrained": 3,
        },
        "margin_bins": EDGES.tolist(),
        "models": models,
        "limits": [
            "Only a random forget set was tried; vulnerable samples may be harder to forget.",
            "The attack used 16 reference models; more of them make it stronger.",
        ],
    }


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
    return render(example())


def test_every_model_verdict_and_limit_is_on_the_page(html: str):
    text = Page(html).text
    results = example()
    for m in results["models"]:
        assert m["name"] in text
        assert m["verdict"] in text
        assert m["weights_sha256"] in text
        assert f"{m['attacks']['rmia']['ft']['auc']:.1f}" in text
        if m["role"] == "unlearned":
            assert m["reason"] in text
    for limit in results["limits"]:
        assert limit in text
    assert "forget 500 of its 5,000 training samples" in text
    assert "1 of 4 unlearned models is consistent with a model retrained" in text
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
    assert "@import" not in html
    assert all(v.startswith("#") for k, v in page.attributes if k in ("src", "href", "xlink:href"))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_equal_results_give_equal_bytes(html: str):
    assert render(example()) == html
    assert summary_svg(example()) == summary_svg(example())


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
    m["name"] = m["method"] = m["reason"] = m["verdict"] = results["data"]["name"] = name
    results["limits"] = [name]
    results["recipe"] = {name: name}
    page = Page(render(results))
    assert not page.tags & {"script", "img"}
    assert not [k for k, _ in page.attributes if k.startswith("on")]
    assert " ".join(name.split()).replace("\x00", "�")[:300] in page.text.replace("\x00", "�")
    ET.fromstring(summary_svg(results))


@pytest.mark.parametrize("schema", [None, "obliviate.results/2", 1])
def test_foreign_schema_is_refused(schema: object):
    with pytest.raises(ReportError, match=r"expected schema 'obliviate.results/1', got .*; run the audit again"):
        render(example() | {"schema": schema})


@pytest.mark.parametrize(
    "path", ["data_sha256", "floor.ft_auc_min", "models.0.verdict", "models.4.attacks.rmia.ft.low"]
)
def test_missing_figure_is_named(path: str):
    results = example()
    *parents, last = path.split(".")
    owner: Any = results
    for key in parents:
        owner = owner[int(key) if key.isdigit() else key]
    del owner[last]
    with pytest.raises(ReportError, match=rf"expected results.*{last}, got none; "):
        check(results)


@pytest.mark.parametrize("models", [[], {}, None])
def test_results_without_models_are_refused(models: object):
    with pytest.raises(ReportError, match="at least one model"):
        render(example() | {"models": models})


def test_unknown_role_is_refused():
    results = example()
    results["models"][2]["role"] = "teacher"
    with pytest.raises(ReportError, match=r"models\[2\].role as original, retrained or unlearned, got 'teacher'"):
        render(results)


def test_what_a_method_reported_is_on_the_page_in_plain_words():
    results = example()
    found = {"adversarial_found": 0.998, "adversarial_median_l2": 0.53061, "gradients_per_sample": 8.214}
    results["models"][4]["settings"] = found
    results["models"][5]["settings"] = {"own_figure": -0.25}
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render(results)))
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
        m |= {"share_of_retraining": None, "average_gap": None, "difference": None, "curves": None, "verdict": None}
        m |= {"seconds": None, "accuracy_interval": {"forget": None, "retain": None, "test": None}}
        m["attacks"]["rmia"]["ft"] = {"auc": 50.0, "low": None, "high": None}
    results["floor"] = dict.fromkeys(results["floor"])
    text = Page(render(results)).text
    assert "–" in text
    assert "None of the 4 unlearned models" in text
    assert "NoneType" not in text
    assert "nan" not in text
    ET.fromstring(summary_svg(results))


@pytest.mark.parametrize(
    "roles", [("original",), ("unlearned",), ("retrained", "unlearned"), ("original", "unlearned")]
)
def test_page_stands_without_some_of_the_roles(roles: tuple[str, ...]):
    results = example()
    results["models"] = [m for m in results["models"] if m["role"] in roles]
    Page(render(results))


def test_many_methods_keep_apart_and_on_the_page():
    results = example()
    for i in range(12):
        results["models"].append(copy.deepcopy(results["models"][4]) | {"name": f"method {i}"})
    text = Page(render(results)).text
    assert all(f"method {i}" in text for i in range(12))


def test_a_failed_control_is_said():
    results = example()
    assert "did not come out" not in render(results)
    results["models"][0]["verdict"] = "consistent with retraining"
    assert "did not come out as it should" in render(results)


def test_summary_is_standalone_and_names_every_model():
    svg = summary_svg(example())
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in svg
    text = " ".join(root.itertext())
    assert all(m["name"] in text for m in example()["models"])
