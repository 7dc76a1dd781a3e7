from groundup.train.loop import count_tokens, on_device, with_figures


def accumulate(run, batches, objective):
    """All losses are added up, and the gradient is taken once: more memory, the same numbers."""
    count = run.config.grad_accumulation
    numbers = range(run.state.step * count, (run.state.step + 1) * count)
    found = [batches(n) for n in numbers]
    results = [
        with_figures(objective(run.model, on_device(batch, run.model.device))) for batch in found
    ]
    loss = sum(loss for loss, _ in results) / count
    loss.backward()
    run.loss = loss.item()
    names = results[0][1]
    run.figures = {name: sum(figures[name] for _, figures in results) / count for name in names}
    run.state.tokens += sum(map(count_tokens, found))
