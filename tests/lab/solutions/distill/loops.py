import math


def distillation_step_by_step(student, teacher, targets, temperature, teacher_share):
    total = 0.0
    for s, t, target in zip(student, teacher, targets.tolist(), strict=True):
        log_q = [z / temperature - (s / temperature).logsumexp(0) for z in s]
        log_p = [z / temperature - (t / temperature).logsumexp(0) for z in t]
        kl = sum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True))
        label = s.logsumexp(0) - s[target]
        total = total + (1 - teacher_share) * label + teacher_share * temperature**2 * kl
    return total / len(targets)
