from functools import reduce


def render_step_by_step(messages, add_generation_prompt=False):
    def add(text, message):
        return f"{text}<|{message['role']}|> {message['content']}<|end|>"

    return reduce(add, messages, "") + "<|assistant|>" * add_generation_prompt
