from obliviate.report.record import attacks, render, rows
from obliviate.results.record import RecordAudit, RecordModel, RecordScore


def audit(record: str = "a") -> RecordAudit:
    scores = tuple(
        RecordScore(attack=name, score=score, rank=rank, unseen=99, p=rank / 100)
        for name, score, rank in (("rmia", 2.0, 1), ("lira", 0.5, 40))
    )
    values = {"method": "train", "weights_sha256": None, "scores": scores}
    models = (
        RecordModel(name="original", role="original", correct=True, **values),
        RecordModel(name="<b>x</b>", role="unlearned", correct=None, **values),
    )
    return RecordAudit(record=record, references=16, lead="rmia", models=models, missing="144 would do")


def test_every_attack_has_a_row_for_every_model() -> None:
    assert attacks(audit()) == ["rmia", "lira"]
    assert rows(audit(), "lira") == [("original", "yes", "40 of 100", "0.4"), ("<b>x</b>", "–", "40 of 100", "0.4")]


def test_names_are_text_on_the_page() -> None:
    page = render(audit("<script>alert(1)</script>"))
    assert "<script>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "Not resolvable with these data: 144 would do." in page
