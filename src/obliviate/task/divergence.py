"""How far a student's predictions are from a teacher's: the loss of methods that distil."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def divergence(
    student: Float[Tensor, "n classes"], teacher: Float[Tensor, "n classes"], *, temperature: float = 1.0
) -> Float[Tensor, ""]:
    """Return T² · KL(softmax(teacher/T) ‖ softmax(student/T)), the mean over samples (Hinton et al. 2015, section 2.1).

    Both are logits. The factor T² keeps the size of gradients the same for every temperature T > 0.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 2.0]])
    >>> float(divergence(logits, logits)), float(divergence(torch.zeros(1, 2), logits)) > 0.3
    (0.0, True)
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.float() / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2
