from jinja2 import Template

from groundup.tokenizer.chat import DEFAULT_TEMPLATE


def render_step_by_step(messages, add_generation_prompt=False):
    template = Template(DEFAULT_TEMPLATE)
    return template.render(messages=messages, add_generation_prompt=add_generation_prompt)
