"""Many runs from one plan: methods × settings × training seeds × forget sets, resumed cell by cell, in one table."""

from obliviate.plans.plan import Plan
from obliviate.plans.results import PlanResults
from obliviate.plans.run import Outline, outline, run_plan

__all__ = ["Outline", "Plan", "PlanResults", "outline", "run_plan"]
