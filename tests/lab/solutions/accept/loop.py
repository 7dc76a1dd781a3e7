def accept_step_by_step(guesses, said):
    kept = []
    for guess, own in zip(guesses, said[:-1], strict=True):
        kept.append(own)
        if guess != own:
            return kept
    return [*kept, said[-1]]
