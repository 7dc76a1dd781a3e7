def accept_step_by_step(guesses, said):
    if not guesses or guesses[0] != said[0]:
        return [said[0]]
    return [said[0], *accept_step_by_step(guesses[1:], said[1:])]
