import torch


def accumulate(run, batches, objective):
    share = 1.0 / run.config.grad_accumulation
    losses, sums = [], {}
    step = run.state.step
    for micro in range(run.config.grad_accumulation):
        ids = batches(step * run.config.grad_accumulation + micro)
        result = objective(run.model, torch.from_numpy(ids).to(run.model.device))
        loss, figures = result if isinstance(result, tuple) else (result, {})
        loss.backward(gradient=torch.tensor(share))
        losses.append(loss.detach())
        for name, figure in figures.items():
            sums.setdefault(name, []).append(float(figure))
        run.state.tokens += ids.shape[0] * (ids.shape[1] - 1)
    run.loss = torch.stack(losses).mean().item()
    run.figures = {name: sum(values) * share for name, values in sums.items()}
