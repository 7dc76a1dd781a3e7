def render_step_by_step(messages, add_generation_prompt=False):
    text = ""
    for message in messages:
        text += "<|" + message["role"] + "|> " + message["content"] + "<|end|>"
    if add_generation_prompt:
        text += "<|assistant|>"
    return text
