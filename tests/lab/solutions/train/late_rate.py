from groundup.train.loop import accumulate, refuse_nan
from groundup.train.optimizers import clip_gradients, set_rate
from groundup.train.schedules import rate


def train_step(run, batches, objective):
    """The rate is needed by the update only."""
    accumulate(run, batches, objective)
    run.gradient_norm = clip_gradients(run.model.parameters(), run.config.clip_norm)
    run.rate = rate(run.progress, run.config)
    refuse_nan(run)
    set_rate(run.optimizers, run.rate)
    for optimizer in run.optimizers:
        optimizer.step()
    run.model.zero_grad(set_to_none=False)
    run.state.step = run.state.step + 1
