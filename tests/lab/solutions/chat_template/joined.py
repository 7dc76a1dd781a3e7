def render_step_by_step(messages, add_generation_prompt=False):
    turns = ["<|{role}|> {content}<|end|>".format(**message) for message in messages]
    if add_generation_prompt:
        turns.append("<|assistant|>")
    return "".join(turns)
