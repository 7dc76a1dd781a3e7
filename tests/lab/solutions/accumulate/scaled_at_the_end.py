from groundup.train.loop import count_tokens, on_device, with_figures


def accumulate(run, batches, objective):
    count = run.config.grad_accumulation
    first = run.state.step * count
    run.loss, run.figures = 0.0, {}
    for n in range(first, first + count):
        batch = batches(n)
        loss, figures = with_figures(objective(run.model, on_device(batch, run.model.device)))
        loss.backward()
        run.loss += loss.item()
        for name in figures:
            run.figures[name] = run.figures.get(name, 0.0) + figures[name]
        run.state.tokens += count_tokens(batch)
    for parameter in run.model.parameters():
        if parameter.grad is not None:
            parameter.grad /= count
    run.loss /= count
    run.figures = {name: figure / count for name, figure in run.figures.items()}
