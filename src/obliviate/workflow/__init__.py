"""The use cases, in memory: train, unlearn, train references, audit, and say what was found."""

from obliviate.workflow.adopting import Knowledge, adopt
from obliviate.workflow.auditing import Evaluation, audit_models, audit_record, check_margins
from obliviate.workflow.budget import Affordable, within_budget
from obliviate.workflow.choosing import memorised, mislabelled
from obliviate.workflow.effect import Effect
from obliviate.workflow.fresh import check_fresh
from obliviate.workflow.models import TrainedModel
from obliviate.workflow.references import (
    ShadowUnlearning,
    load_references,
    shadow_unlearning,
    train_references,
    train_shadows,
    train_shadows_by_each,
)
from obliviate.workflow.results import Circumstances, cpu_name, describe, limits, save_report
from obliviate.workflow.session import Session, without_forgotten
from obliviate.workflow.training import check, train
from obliviate.workflow.tuning import Tuned, check_tuning, outline, tune
from obliviate.workflow.unlearning import Measuring, check_request, kept, unlearn, with_effect

__all__ = [
    "Affordable",
    "Circumstances",
    "Effect",
    "Evaluation",
    "Knowledge",
    "Measuring",
    "Session",
    "ShadowUnlearning",
    "TrainedModel",
    "Tuned",
    "adopt",
    "audit_models",
    "audit_record",
    "check",
    "check_fresh",
    "check_margins",
    "check_request",
    "check_tuning",
    "cpu_name",
    "describe",
    "kept",
    "limits",
    "load_references",
    "memorised",
    "mislabelled",
    "outline",
    "save_report",
    "shadow_unlearning",
    "train",
    "train_references",
    "train_shadows",
    "train_shadows_by_each",
    "tune",
    "unlearn",
    "with_effect",
    "within_budget",
    "without_forgotten",
]
