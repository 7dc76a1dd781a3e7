import torch.nn.functional as F


def distillation_step_by_step(student, teacher, targets, temperature, teacher_share):
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.softmax(teacher / temperature, dim=1),
        reduction="batchmean",
    )
    label = F.cross_entropy(student, targets)
    return (1 - teacher_share) * label + teacher_share * divergence * temperature**2
