from groundup.train.loop import accumulate, clip_gradients, rate, refuse_nan, set_rate


def train_step(run, batches, objective):
    for optimizer in run.optimizers:
        optimizer.zero_grad()
    run.rate = rate(run.progress, run.config)
    set_rate(run.optimizers, run.rate)
    accumulate(run, batches, objective)
    run.gradient_norm = clip_gradients(run.trained, run.config.clip_norm)
    refuse_nan(run)
    for optimizer in run.optimizers:
        optimizer.step()
    run.state.step += 1
