import torch
import torch.nn.functional as F


def distillation_step_by_step(student, teacher, targets, temperature, teacher_share):
    """Cross-entropy with the teacher's probabilities as targets, less their entropy."""
    p = (teacher / temperature).softmax(-1)
    crossed = F.cross_entropy(student / temperature, p)
    entropy = torch.distributions.Categorical(p).entropy().mean()
    label = -student.log_softmax(-1)[torch.arange(len(targets)), targets].mean()
    return torch.lerp(label, temperature**2 * (crossed - entropy), teacher_share)
