"""Exercises on tuning."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug, as_it_is, with_gradient
from groundup.language import N_
from groundup.tokenizer import chat


def padded_texts(draw: Draw) -> tuple:
    """The hidden states of texts, some of which are a single token. There is padding after all of them,
    so that a place too far is one of padding, and no error."""
    batch, time = draw.integer(3, 4), draw.integer(6, 8)
    lengths = [draw.choice([1, time - 1, draw.integer(1, time - 1)]) for _ in range(batch)]
    return draw.normal(batch, time, 9), torch.tensor(lengths)


def conversations(draw: Draw) -> tuple:
    """Windows that begin anywhere in a conversation."""
    assistant, end, user = draw.python.sample(range(9), 3)
    time = draw.integer(14, 20)
    rows = []
    for _ in range(3):
        ids: list[int] = []
        for speaker in [user, assistant] * 5:
            ids += [speaker, *(draw.integer(10, 30) for _ in range(draw.integer(1, 3))), end]
        start = draw.integer(0, 8)
        rows.append(ids[start : start + time])
    return torch.tensor(rows), assistant, end


WORDS = ("Hello", "Wo ist Mia?", "你好", "in the garden.\n", "", "  42", "<b>")


def messages(draw: Draw) -> tuple:
    """What was said, and whether the assistant is to go on."""
    roles = draw.choice([["system", "user"], ["user", "assistant", "user"], ["user", "assistant"]])
    said = [{"role": role, "content": draw.choice(WORDS)} for role in roles]
    return said, draw.choice([True, False])


def as_rendering(part: Callable) -> Callable:
    """In place of Jinja, for our own template."""
    by_jinja = as_it_is(chat.render_marked)

    def render_marked(
        template: str, messages: Any, add_generation_prompt: bool = False, *more: Any, **named: Any
    ) -> str:
        if template != chat.DEFAULT_TEMPLATE:
            return by_jinja(template, messages, add_generation_prompt, *more, **named)
        return part(messages, add_generation_prompt)

    return render_marked


def layer_and_settings(draw: Draw) -> tuple:
    """A layer, and the adapter that is wanted beside it."""
    inside, out, rank = draw.integer(5, 7), draw.integer(8, 11), draw.integer(2, 3)
    base = nn.Linear(inside, out, bias=draw.choice([True, False]))
    for parameter in base.parameters():
        parameter.data = draw.normal(*parameter.shape)
    dropout = draw.choice([0.0, 1.0])
    return base, rank, float(draw.integer(4, 9)), dropout, draw.choice([True, False])


def adapter_at_work(
    part: type[nn.Module], base: nn.Linear, rank: int, alpha: float, dropout: float, rslora: bool
) -> dict[str, Any]:
    """How an adapter begins, and what it does with other numbers in its matrices."""
    adapter: Any = part(base, rank, alpha, dropout, rslora)
    shapes = {"a.shape": list(adapter.a.shape), "b.shape": list(adapter.b.shape)}
    if (*adapter.a.shape, *adapter.b.shape) != (rank, base.in_features, base.out_features, rank):
        return shapes
    trained = sorted(name for name, p in adapter.named_parameters() if p.requires_grad)
    start = {"any(a)": bool(adapter.a.any()), "any(b)": bool(adapter.b.any())}
    with torch.no_grad():
        adapter.a.copy_(waves(*adapter.a.shape))
        adapter.b.copy_(waves(*adapter.b.shape))
    x = waves(3, 4, base.in_features)
    in_training = adapter.train()(x, base(x), base)
    return shapes | start | {
        "trained": trained,
        "forward": adapter.eval()(x, base(x), base),
        "forward, in training": in_training,
        "merged": adapter.merged(base.weight.detach()),
        "kept": [adapter.rank, adapter.alpha, adapter.rslora],
    }  # fmt: skip


def waves(*shape: int) -> Tensor:
    """The same numbers for everybody."""
    return torch.arange(1.0, 1 + torch.Size(shape).numel()).sin().view(shape)


def log_ratios(draw: Draw) -> tuple:
    """Of pairs of answers, with some that lie very far apart."""
    pairs, size = draw.integer(3, 6), draw.choice([1.0, 3000.0])
    smoothing = draw.choice([0.0, 0.1])
    return size * draw.normal(pairs), size * draw.normal(pairs), draw.choice([0.1, 0.5]), smoothing


def rewards(draw: Draw) -> tuple:
    """Of groups of answers; in one group all are equal."""
    marks = draw.integers(2, 4, draw.integer(5, 7)).float() * draw.choice([1.0, 0.5])
    marks[1] = 1.0
    marks[0, :2] = torch.tensor([0.0, 1.0])
    return marks, draw.choice([True, False])


EXERCISES = (
    Exercise(
        name="last_token",
        target="groundup.model.classifier:last_token",
        title=N_("The last real token"),
        text=N_("""\
A classifier reads a whole text and gives it one label, so it needs one vector for a text, not one for
each token. With a causal mask only the last token has seen everything before it: its hidden state is
taken.

Texts of a batch have different lengths, and the shorter ones are padded at their end. What stands in the
padding means nothing. With lengths 3 and 1 in rows of 3 places the vectors marked * are wanted:

    a  b  c*
    d* .  .

In: hidden states, batch × time × d_model, and the length of each text. Out: batch × d_model.
"""),
        hints=(
            N_("A text of 3 tokens: at which index does its last token stand? And one of 1 token?"),
            N_("Pick from each row another place. Two rows of indices of the same length, one for the batch "
               "and one for the time, pick one vector for each pair of them."),
            N_("hidden[rows, places], where rows counts 0, 1, 2, … and places is one less than the lengths."),
        ),
        inputs=padded_texts,
        learns=True,
        mistakes=(
            Mistake("lengths - 1]", "lengths]",
                    N_("Off by one: a text of n tokens has its last one at index n − 1; what follows is "
                       "padding.")),
            Mistake("hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]", "hidden[:, -1]",
                    N_("The last place of the row is taken: in a shorter text padding stands there.")),
            Mistake("hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]", "hidden[:, 0]",
                    N_("The first token is taken: under a causal mask it has seen nothing but itself.")),
            Mistake("hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]",
                    "hidden[:, lengths - 1]",
                    N_("Every row is asked for the places of all rows: a colon pairs each row with each place. "
                       "The rows must be counted too, so that they are paired one to one.")),
            Mistake("hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]",
                    "hidden.mean(dim=1)",
                    N_("It is the mean over the whole row, padding included.")),
        ),
    ),
    Exercise(
        name="loss_mask",
        target="groundup.train.objectives:in_answer",
        title=N_("The loss mask"),
        text=N_("""\
A model that learns to answer reads questions and answers, but should learn to say the answers only. So
the loss is counted at some positions and not at others: where the token to be predicted is the
assistant's.

The position is that of the token before: at position t the model predicts the token at t + 1. The end
token belongs to the answer, otherwise the model never learns to stop. The assistant's own mark does not:
it is a part of the prompt. With A for the assistant's mark, U for the user's, and / for the end of a
turn:

    ids    U  where  is  Mia  /  A  in  the  garden  /  U  thanks  /
    mask   0    0    0    0   0  1   1   1      1    0  0     0    0

A window may begin in the middle of a turn; before the first mark nothing counts.
In: ids, batch × time, and the ids of the two marks. Out: true and false, batch × time.
"""),
        hints=(
            N_("Read a row from left to right with one light that is on or off. What turns it on, what turns "
               "it off, and is it on at these two tokens themselves?"),
            N_("The light is on where the assistant has begun to speak later than a turn has ended. For each "
               "position find the index of the last mark so far, and that of the last end so far."),
            N_("torch.where(ids == mark, index, -1) has the index where a mark stands; its cummax along the "
               "row is the last one so far. Compare the two: assistant > end."),
        ),
        inputs=conversations,
        mistakes=(
            Mistake("return last(assistant_id) > last(end_id)", "return torch.ones_like(ids, dtype=torch.bool)",
                    N_("The questions count too: the model learns to ask, not only to answer.")),
            Mistake("return last(assistant_id) > last(end_id)",
                    "return (last(assistant_id) > last(end_id)) & "
                    "(torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-1) != end_id)",
                    N_("The end token is left out: a model that never learns it does not stop speaking.")),
            Mistake("return last(assistant_id) > last(end_id)",
                    "return torch.nn.functional.pad(last(assistant_id) > last(end_id), (1, -1))",
                    N_("Shifted by one: it is true at the assistant's own tokens, and should be at the "
                       "position before each, where it is predicted.")),
            Mistake("return last(assistant_id) > last(end_id)",
                    "return (last(assistant_id) > last(end_id)) & (ids != assistant_id)",
                    N_("The first word of each answer is left out: it is predicted at the assistant's mark.")),
            Mistake("return last(assistant_id) > last(end_id)",
                    "return (last(assistant_id) > last(end_id)) | "
                    "(torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-1) == assistant_id)",
                    N_("The assistant's mark counts as well: it stands in the prompt, nobody has to predict "
                       "it.")),
            Mistake("return last(assistant_id) > last(end_id)", "return last(assistant_id) >= 0",
                    N_("After the first answer all that follows counts: the end of a turn ends the answer.")),
        ),
    ),
    Exercise(
        name="chat_template",
        target="groundup.tokenizer.chat:render_step_by_step",
        title=N_("The chat template"),
        text=N_("""\
A language model knows only text. A conversation is a list of messages, each with a role and a content; a
chat template writes it as one text, in which special tokens say who speaks and where a turn ends:

    [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    <|user|> Hello<|end|><|assistant|> Hi<|end|>

When the model is to answer, the text ends with the mark of the assistant: what comes most likely after it
is an answer. There must be no space behind it, since the model learned that the first word of an answer
brings its space along: " Hi" is one token.

The template in use is written in Jinja, a language for templates, and is saved beside the model, because
a model answers well only in the form that it was taught in. Here it is to be written in Python.
"""),
        hints=(
            N_("Which text does a single message become? And what does a list of two become?"),
            N_("Write each message by itself and join them with nothing in between. Then, only where it is "
               "asked for, comes the assistant's mark."),
            N_("A message is f\"<|{role}|> {content}<|end|>\"; at the very end \"<|assistant|>\" or nothing."),
        ),
        inputs=messages,
        plugs=(Plug("groundup.tokenizer.chat:render_marked", adapt=as_rendering),),
        mistakes=(
            Mistake("{END}", "",
                    N_("The mark of the end is missing after each message: nobody sees where a turn is over.")),
            Mistake("(ASSISTANT if add_generation_prompt else \"\")", "\"\"",
                    N_("The assistant's mark is missing at the end, so the model might go on as the user.")),
            Mistake("(ASSISTANT if add_generation_prompt else \"\")", "ASSISTANT",
                    N_("The assistant's mark always stands at the end: it belongs there only when an answer is "
                       "wanted, not in a conversation to learn from.")),
            Mistake("|> {", "|>{",
                    N_("The space between the mark and the content is missing.")),
            Mistake("ASSISTANT if", "ASSISTANT + ' ' if",
                    N_("Nothing may follow the assistant's mark at the end: the space is a part of the first "
                       "word that the model says.")),
            Mistake("\"\".join", "\"\\n\".join",
                    N_("There is something between the turns: they follow each other directly.")),
        ),
    ),
    Exercise(
        name="lora",
        target="groundup.model.lora:Lora",
        title=N_("LoRA: tuning with few numbers"),
        text=N_("""\
To tune a matrix W means to add something to it. LoRA (Hu et al. 2021) leaves W as it is and learns what
is added, as the product of two thin matrices: A squeezes x into `rank` numbers, B spreads them out again.

    y = W x + s · B (A x),    s = α / rank

For a W of 1024 × 1024 and rank 8 that is 16 384 numbers to train instead of 1 048 576. As in all linear
layers here, the vectors x are the rows: x · Aᵀ, which `linear(x, a)` computes.

B begins at zero, so that the model begins exactly as it was; A begins at random, since with two zero
matrices no gradient would ever come through. s keeps the change about as large when the rank is changed;
rsLoRA (Kalajdzievski 2023) has found that for high ranks s = α / √rank does this better.

  __init__   makes `a` (rank × in) and `b` (out × rank), both nn.Parameter, and keeps the settings
  forward    x and W x (`plain`) → W x + s · B (A x); in training a share `dropout` of x is left out
  merged     W → W + s · B A: afterwards the model is as fast as it was before

Example: rank 1, α = 2, A = [1 0], B = [3], x = [5 7]. A x = 5, B (A x) = 15, s = 2: 30 is added to W x.
"""),
        hints=(
            N_("Which shapes must A and B have, so that B A has the shape of W? Which of them may begin at "
               "zero, so that at the start nothing is added, but a gradient still reaches one of them?"),
            N_("__init__: super().__init__(), the settings, s, two nn.Parameter and an nn.Dropout. forward: "
               "squeeze the dropped-out x with A, spread with B, times s, plus `plain`. merged: the same as "
               "one matrix."),
            N_("self.a = nn.Parameter(random, rank × in), self.b = nn.Parameter(torch.zeros(out, rank)); "
               "forward: plain + self.scale * linear(linear(self.dropout(x), self.a), self.b); merged: weight "
               "+ self.scale * self.b @ self.a"),
        ),
        inputs=layer_and_settings,
        use=adapter_at_work,
        mistakes=(
            Mistake("like.new_zeros(base.out_features, rank)", "like.new_ones(base.out_features, rank)",
                    N_("B does not begin at zero: the model is changed before it has learned anything.")),
            Mistake("nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))", "nn.init.zeros_(self.a)",
                    N_("A and B both begin at zero: then neither has a gradient, and nothing is ever "
                       "learned.")),
            Mistake("self.scale = alpha / (math.sqrt(rank) if rslora else rank)", "self.scale = alpha",
                    N_("s is α: it should be α divided by the rank, or with rsLoRA by its root.")),
            Mistake("(math.sqrt(rank) if rslora else rank)", "rank",
                    N_("s is α / rank for rsLoRA too, which wants α / √rank.")),
            Mistake("like.new_empty(rank, base.in_features))\n"
                    "        self.b = nn.Parameter(like.new_zeros(base.out_features, rank))",
                    "like.new_empty(base.out_features, rank))\n"
                    "        self.b = nn.Parameter(like.new_zeros(rank, base.in_features))",
                    N_("A and B are exchanged: A comes first and takes x to `rank` numbers, so it is rank × "
                       "in.")),
            Mistake("return plain + linear(", "return linear(",
                    N_("W x is lost: what the adapter gives is added to what the layer itself gives.")),
            Mistake("self.scale * linear(self.dropout(x), self.a)", "linear(self.dropout(x), self.a)",
                    N_("forward does not scale by s.")),
            Mistake("linear(self.dropout(x), self.a)", "linear(x, self.a)",
                    N_("In training nothing is dropped: nn.Dropout goes between x and A.")),
        ),
    ),
    Exercise(
        name="dpo",
        target="groundup.tune.preference_losses:dpo",
        title=N_("DPO: learning from preferences"),
        text=N_("""\
Of two answers to a prompt people prefer one, the chosen, to the other, the rejected. Direct preference
optimisation (Rafailov et al. 2023) makes the chosen one likelier against the rejected one, measured from
where the model began: the reference, a copy of it from before.

For each answer y the log-ratio r(y) = log π(y) − log π₀(y) says how much likelier the model π has made it
than the reference π₀ finds it, in nats. With the margin h = β (r(chosen) − r(rejected)) the loss is

    −log σ(h),    σ(h) = 1 / (1 + e^−h)

averaged over the pairs. It begins at ln 2 = 0.693, since all log-ratios are 0 then. A small β lets the
model go far from the reference. Example: r = 3 and −1, β = 0.5: h = 2, σ(2) = 0.881, the loss is 0.127.

With a label smoothing of ε, a share ε of the pairs is believed to be marked the wrong way round:

    −(1 − ε) log σ(h) − ε log σ(−h)

Log-ratios of whole answers may be hundreds of nats: σ(−200) is 0 as a float, and its logarithm −∞.
In: two rows of log-ratios, one number for each pair. Out: one number.
"""),
        hints=(
            N_("When is the loss small: with a large h or with a small one? What happens to h when the chosen "
               "answer becomes likelier?"),
            N_("First the margin of each pair, then log σ of it and of its negative, then the two mixed by ε, "
               "at last the mean over the pairs and the sign."),
            N_("F.logsigmoid(margin) is log σ without the trouble of large numbers; with ε = 0 it is all: "
               "-F.logsigmoid(beta * (chosen - rejected)).mean()"),
        ),
        inputs=log_ratios,
        use=with_gradient,
        mistakes=(
            Mistake("chosen - rejected", "rejected - chosen",
                    N_("Chosen and rejected are exchanged: the model learns to prefer the worse answer.")),
            Mistake("beta * (chosen - rejected)", "(chosen - rejected)",
                    N_("β is missing: the margin is β times the difference of the log-ratios.")),
            Mistake("return -(", "return (",
                    N_("The sign is missing: log σ should become large, so the loss is its negative.")),
            Mistake(".mean()", ".sum()",
                    N_("The sum over the pairs: a larger batch would have a larger loss. It is the mean.")),
            Mistake("F.logsigmoid(margin), F.logsigmoid(-margin)",
                    "torch.sigmoid(margin), torch.sigmoid(-margin)",
                    N_("The logarithm is missing: the loss is −log σ(h), not −σ(h).")),
            Mistake("F.logsigmoid(margin), F.logsigmoid(-margin)",
                    "torch.sigmoid(margin).log(), torch.sigmoid(-margin).log()",
                    N_("Right on paper, but not for numbers of a computer: σ of a very negative margin is 0, "
                       "and its logarithm −∞. F.logsigmoid takes both in one.")),
            Mistake("(1 - label_smoothing) * right + label_smoothing * wrong", "right",
                    N_("The label smoothing is not looked at.")),
        ),
    ),
    Exercise(
        name="group_advantages",
        target="groundup.tune.policy_loss:group_advantages",
        title=N_("The advantages of GRPO"),
        text=N_("""\
Where an answer can be checked, a model can learn from its own tries: it answers a question several times,
and what turned out better than usual is made likelier. What is usual? GRPO (Shao et al. 2024) takes the
mean of the group, the answers to this one question. The advantage of an answer with the reward r is

    A = (r − mean r) / (std r + 0.0001)

with mean and standard deviation (torch's std, which divides by n − 1) within its group. Dr. GRPO (Liu et
al. 2025) leaves the division away: A = r − mean r. Example of one group with the rewards 1 0 0 1:

    mean 0.5    std 0.577    A = 0.866  −0.866  −0.866  0.866    without division 0.5 −0.5 −0.5 0.5

In a group whose answers are all right, or all wrong, each A is 0: there is nothing to learn from it.
In: rewards, groups × answers. Out: advantages of the same shape.
"""),
        hints=(
            N_("Each row is a group. Along which axis does the mean go, and which shape must it have so that "
               "it can be subtracted from the rewards?"),
            N_("Subtract the mean of each row. Only with divide_by_spread, divide by the row's standard "
               "deviation, to which a little is added, as it may be 0."),
            N_("rewards.mean(dim=1, keepdim=True), and rewards.std(dim=1, keepdim=True) + 1e-4"),
        ),
        inputs=rewards,
        mistakes=(
            Mistake("rewards.mean(dim=1, keepdim=True)", "rewards.mean()",
                    N_("The mean of all groups: an answer to an easy question would look good, however bad it "
                       "is.")),
            Mistake("rewards.mean(dim=1, keepdim=True)", "rewards.mean(dim=0, keepdim=True)",
                    N_("The mean goes over the wrong axis: the answers of one group stand in a row.")),
            Mistake("rewards.std(dim=1, keepdim=True)", "rewards.std(dim=1, keepdim=True, correction=0)",
                    N_("The standard deviation divides by n: torch's std, and GRPO, divide by n − 1.")),
            Mistake(" + 1e-4)", ")",
                    N_("In a group of equal answers the standard deviation is 0, and 0 / 0 is nan: add "
                       "0.0001.")),
            Mistake("if divide_by_spread:", "if True:",
                    N_("It always divides: without divide_by_spread the advantage is r − mean r.")),
        ),
    ),
)  # fmt: skip
