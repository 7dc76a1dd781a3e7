"""Exact answers: many questions in one padded batch are judged as each alone, and as generated."""

import numpy as np

import groundup
from groundup.evaluate.questions import answered_exactly, ask
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.chat import CHAT_SPECIAL_TOKENS
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token
from groundup.world.documents import held_out_questions
from groundup.world.question import Question


def dialogue(question: Question) -> list[dict[str, str]]:
    said = [("user", question.prompt), ("assistant", question.answer)]
    return [{"role": role, "content": content} for role, content in said]


def test_a_padded_batch_is_judged_as_each_question_alone_and_as_what_is_generated():
    questions = [
        question
        for language, task in (("en", "find"), ("zh", "find"), ("en", "copy"))
        for question in held_out_questions(language, task, 6)
    ]
    texts = [question.prompt + " " + question.answer for question in questions]
    tokenizer = Tokenizer.train_from_iterator(texts, 500, [END_OF_TEXT, *CHAT_SPECIAL_TOKENS])
    learned = [tokenizer.encode_chat(dialogue(question)) for question in questions[::2]]
    length = max(map(len, learned))
    batch = np.array([ids + [0] * (length - len(ids)) for ids in learned])
    config = preset(
        "nano", vocab_size=tokenizer.vocab_size, d_model=64, n_layers=2, n_heads=2, n_kv_heads=2,
        context_length=256,
    )  # fmt: skip
    run = start_run(GPT(config), TrainConfig(steps=80, micro_batch=len(batch)))
    train(run, lambda n: batch, next_token)

    judged = answered_exactly(run.model, tokenizer, questions)
    assert judged == answered_exactly(run.model, tokenizer, questions, batch=1)
    replies = [ask(run.model, tokenizer, question) for question in questions]
    assert judged == [reply.is_right for reply in replies]
    for reply in replies:
        assert answer(run.model, tokenizer, reply.question).startswith(reply.said)
    assert any(judged) and not all(judged)


def answer(model: GPT, tokenizer: Tokenizer, question: Question) -> str:
    prompt = tokenizer.decode(
        tokenizer.encode_chat(dialogue(question)[:1], add_generation_prompt=True)
    )
    return groundup.generate(model, tokenizer, prompt, temperature=0.0).strip()
