"""`groundup quickstart`"""

from pathlib import Path

from groundup.cli.flags import typed
from groundup.cli.main import Parser
from groundup.language import N_, shown

QUESTION = "What is the capital of France?"


def main(arguments: list[str]) -> None:
    parser = Parser(
        "quickstart",
        "groundup quickstart --text my_book.txt",
        description="Build a small model from nothing, watch it learn, and talk to it.",
    )
    parser.add_argument("--pretrained", action="store_true",
                        help="talk to a published model, SmolLM2-135M-Instruct, instead of building "
                        "one: downloads 93 MB")  # fmt: skip
    parser.add_argument("--out", default="runs/quickstart", help="run directory (%(default)s)")
    parser.add_argument("--text", nargs="+", help="your own files instead of the sample world")
    parser.add_argument("--minutes", type=typed("--minutes"), default=4.7,
                        help="time to use (%(default)s)")  # fmt: skip
    add_questions(parser)
    parser.add_argument("--no-chat", action="store_true", help="do not chat at the end")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, no chat")
    parsed = parser.parse(arguments)
    if parsed.pretrained and parsed.text:
        parser.error("--pretrained learns nothing from --text\n  fix: leave one of them out, or go on "
                     "with `groundup pretrain --from MODEL --data FILE`")  # fmt: skip
    show_pretrained(parsed) if parsed.pretrained else show(parsed)


def add_questions(parser: Parser) -> None:
    """How long the exam at the end is."""
    parser.add_argument("--questions", type=typed("--questions"), default=200,
                        help="asked at the end, of each kind in each language (%(default)s)")  # fmt: skip


def show_pretrained(parsed) -> None:
    """Fetch a published model, ask it something, and let the user go on."""
    import sys
    import time

    from groundup.cli.streams import print_json
    from groundup.cli.talk import chat_loop
    from groundup.generation.engine import Engine
    from groundup.generation.sampling import SamplingConfig
    from groundup.generation.text import Completion, complete
    from groundup.recipe.pretrained import pretrained
    from groundup.weights.directory import load

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    began = time.perf_counter()
    path = pretrained(say)
    say(f"model: {path}")
    model, tokenizer = load(path)
    count = sum(parameter.numel() for parameter in model.parameters())
    say(f"{count:,} parameters, {tokenizer.vocab_size:,} tokens, {model.config.n_layers} layers: "
        f"`groundup inspect {path}` tells more")  # fmt: skip
    sampling = SamplingConfig(temperature=0, max_new_tokens=200)
    question = {"role": "user", "content": QUESTION}
    asked = Completion(tokenizer.encode_chat([question], add_generation_prompt=True))
    answer = "".join(complete(Engine(model), tokenizer, asked, sampling)).strip()
    say(f"\n> {QUESTION}\n{answer}\n")
    if parsed.json:
        seconds = time.perf_counter() - began
        figures = {"model": str(path), "seconds": seconds, "parameters": count}
        print_json(figures | {"question": QUESTION, "answer": answer})
        return
    say(page_offer(path))
    if not parsed.no_chat:
        chat_loop(model, tokenizer, sampling=sampling)


def show(parsed) -> None:
    import time

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.cli.talk import chat_loop, complete_loop
    from groundup.recipe.quickstart import ExamConfig, build, own_text
    from groundup.train.config import TrainConfig

    minutes = TrainConfig.parse({"minutes": parsed.minutes}).minutes
    questions = ExamConfig.parse({"questions": parsed.questions}).questions
    assert minutes is not None
    began, out = time.perf_counter(), Path(parsed.out)
    exam, examples = None, []
    with ConsoleWatcher() as watcher:
        if parsed.text:
            finished = own_text(out, parsed.text, minutes, {}, watcher)
        else:
            finished, exam, examples = build(out, minutes, {}, watcher, questions)
    assert finished.pretrained
    figures = {
        "model": str(finished.model),
        "report": str(finished.run.report),
        "seconds": time.perf_counter() - began,
        "val_bits_per_byte": finished.pretrained.val_bits_per_byte,
    }
    if exam:
        figures |= {
            "exact_answers": exam.level_1,
            "exact_answers_by_level": exam.by_level,
            "exact_answers_by_task": exam.by_task,
            "chance": exam.chance,
        }
        print_exam(watcher.console, exam, examples)
    watcher.made(finished)
    if parsed.json:
        print_json(figures)
        return
    watcher.console.print(page_offer(out), soft_wrap=True, markup=False)
    if not parsed.no_chat:
        loop = complete_loop if parsed.text else chat_loop
        loop(*finished.load())


def page_offer(model: Path) -> str:
    """The command that shows what was made on a page, and where that page then is."""
    import shlex

    from groundup.serve.config import ServeConfig

    config = ServeConfig()
    command = f"groundup serve {shlex.quote(str(model))}"
    return shown(f"on a page: {command}   then open http://{config.host}:{config.port}/")


def print_exam(console, exam, examples) -> None:
    """The exam as a table, with the share that guessing would get beside each."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(shown("task"), *exam.by_task, shown("by guessing"))
    for task in next(iter(exam.by_task.values())):
        shares = [f"{of_task[task]:.0%}" for of_task in exam.by_task.values()]
        guess = max(of_task[task] for of_task in exam.chance.values())
        names = {"find": N_("find a fact (level 1)"), "last": N_("last of several changes (level 2)"),
                 "join": N_("join two facts (level 3)")}  # fmt: skip
        table.add_row(shown(names.get(str(task), str(task))), *shares, f"{guess:.0%}")
    console.print(table)
    for reply in examples:
        right = escape(reply.question.answer)
        mark = "[green]right[/]" if reply.is_right else f"[red]wrong[/], right is: {right}"
        console.print(f"\n  {escape(reply.question.prompt)}")
        console.print(shown(f"  it says: [bold]{escape(reply.said)}[/]  {mark}"))
