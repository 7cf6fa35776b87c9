"""Audits of one record: its rank and p-value on every model, and no verdict."""

from pathlib import Path

import pytest

from obliviate._util.files import read_sealed_json
from obliviate.data.samples import Samples
from obliviate.errors import AuditError
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.results.record import RecordAudit
from obliviate.training.recipe import Recipe
from obliviate.workspace import NewRequest, Workspace, write_report
from user_files import write_rows

ASCENT = GradientAscent(learning_rate=0.01)


@pytest.fixture
def work(tiny: Samples, tmp_path: Path, tiny_recipe: Recipe) -> Workspace:
    rows = write_rows(tmp_path / "rows.npz", tiny)
    work = Workspace.create(tmp_path / "run", source=str(rows), recipe=tiny_recipe, seed=0)
    work.unlearn(ASCENT, request=NewRequest(forget=["s07"]))
    return work


def test_an_audit_with_a_verdict_is_refused_before_anything_is_trained(work: Workspace) -> None:
    with pytest.raises(AuditError, match=r"2 samples to forget or more, got one record: .*forget samples") as refused:
        work.audit(references=6, retrained=2, workers=0)
    assert "Workspace.audit_record" in str(refused.value)
    assert not (work.folder / "references").exists()
    assert [kept.manifest.role for kept in work.kept()] == ["original", "unlearned"]


def test_a_record_has_a_rank_and_a_p_value_on_every_model(work: Workspace) -> None:
    audited = work.audit_record(references=8, retrained=2, workers=0)
    assert [model.role for model in audited.models] == ["original", "retrained", "retrained", "unlearned"]
    assert (audited.record, audited.verdict) == ("s07", "not resolvable with these data")
    assert {"rmia", "lira"} <= {score.attack for score in audited.models[0].scores}
    for model in audited.models:
        assert all(score.p == score.rank / (1 + score.unseen) for score in model.scores)
        assert model.of("lira").unseen == 20
    place = work.place()
    kept = RecordAudit.from_dict(read_sealed_json(place.record))
    assert kept == audited
    page = place.report.read_text(encoding="utf-8")
    assert "Audit of one record" in page
    assert "Not resolvable with these data: one record shows no rate" in page
    place.report.unlink()
    assert write_report(work.folder).read_text(encoding="utf-8") == page


def test_shadows_of_one_record_are_refused_before_any_work(work: Workspace) -> None:
    with pytest.raises(AuditError, match=r"half of the references never had it.*leave out --shadows"):
        work.audit_record(references=8, retrained=2, workers=0, shadows=True)
    assert not (work.folder / "references").exists()


def test_several_samples_are_no_record(work: Workspace) -> None:
    work.unlearn(ASCENT, request=NewRequest(forget=["s01", "s02"], after=work.kept()[1].id))
    with pytest.raises(AuditError, match="one record, got one for 2; use `audit`"):
        work.audit_record(references=6, retrained=2, workers=0)
