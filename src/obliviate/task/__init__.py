"""What a task means: per-sample losses, what is right, what audits compare. Nothing else knows what the data are."""

from obliviate.task.base import EVIDENCE, Task
from obliviate.task.causal_lm import IGNORED, CausalLM
from obliviate.task.classification import Classification
from obliviate.task.multi_label import MultiLabel
from obliviate.task.of_data import task_of
from obliviate.task.registry import TASKS, from_dict, to_dict
from obliviate.task.regression import Regression
from obliviate.task.space import InputSpace

__all__ = [
    "EVIDENCE",
    "IGNORED",
    "TASKS",
    "CausalLM",
    "Classification",
    "InputSpace",
    "MultiLabel",
    "Regression",
    "Task",
    "from_dict",
    "task_of",
    "to_dict",
]
