"""Tasks of lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness), the extra
`groundup[eval]`: hundreds of published exams, each a few lines of YAML, and one's own beside them.

A task is named, or is a YAML file or a folder of them; then nothing is downloaded but what it names,
and paths in it are relative to its folder.
"""

import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError, InputError, nearest
from groundup.evaluate.subject import Subject
from groundup.generation.sampling import SamplingConfig
from groundup.language import N_

try:
    from lm_eval.api.group import Group
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.api.task import Task
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.utils import normalize_gen_kwargs
    from lm_eval.tasks import TaskManager
except ImportError:
    raise InputError(
        "tasks of lm-evaluation-harness need lm_eval, which is not installed", None,
        'pip install "groundup[eval]"',
    ) from None  # fmt: skip

# For the standard errors of metrics that are no means; the harness's own 100,000 take minutes.
RESAMPLES = 1000


class HarnessModel(LM):
    """Lets lm-evaluation-harness ask its three questions of a `Subject`.

    >>> simple_evaluate(HarnessModel(LocalModel(model, tokenizer)), tasks=["arc_easy"])  # doctest: +SKIP
    """

    def __init__(self, subject: Subject):
        super().__init__()
        self.subject = subject
        self.cut = 0
        """Of how many contexts only the end could be read."""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        likelihoods = self.subject.log_likelihoods(_arguments(requests))
        self.cut += sum(likelihood.cut > 0 for likelihood in likelihoods)
        return [(-likelihood.nats, likelihood.is_greedy) for likelihood in likelihoods]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        rolled = self.subject.rolling_log_likelihoods([text for text, *_ in _arguments(requests)])
        return [-sum(part.nats for part in parts) for parts in rolled]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        asked = _arguments(requests)
        alike: defaultdict[str, list[int]] = defaultdict(list)
        for number, (_, settings) in enumerate(asked):
            alike[str(settings)].append(number)
        said: dict[int, str] = {}
        for numbers in alike.values():
            sampling, stop = _sampling(asked[numbers[0]][1])
            prompts = [asked[number][0] for number in numbers]
            said |= zip(numbers, self.subject.generate(prompts, sampling, stop), strict=True)
        return [said[number] for number in range(len(requests))]


def _arguments(requests: Sequence[Instance]) -> list[Any]:
    """What is asked: (context, continuation), (text,) or (prompt, settings) of each."""
    return [request.args for request in requests]


def _sampling(settings: dict[str, Any]) -> tuple[SamplingConfig, list[str]]:
    """The harness's settings of a generation as ours, and where it stops."""
    settings = dict(normalize_gen_kwargs(settings))
    known = {name: settings[name] for name in ("top_k", "top_p", "min_p") if settings.get(name)}
    sampling = SamplingConfig.parse(
        known
        | {"temperature": settings["temperature"], "max_new_tokens": settings["max_gen_toks"]},
        "generation_kwargs",
    )
    return sampling, [stop for stop in settings["until"] if stop]


def run_tasks(
    model: HarnessModel, tasks: Sequence[str], limit: int | None = None
) -> dict[str, dict[str, Any]]:
    """The metrics of each task and group, by its name; `limit` takes only so many questions of each.

    Raises `InputError` for a task that is neither known nor a file, and `GroundupError` where its
    data cannot be had.
    """
    local = [task for task in tasks if _is_path(task)]
    named = [task for task in tasks if not _is_path(task)]
    # What the harness prints belongs to standard error.
    with contextlib.redirect_stdout(sys.stderr):
        manager = TaskManager(include_defaults=bool(named))
        _check_names(named, manager)
        loaded: list[Any] = [*_named_tasks(named, manager), *_local_tasks(local)]
        results: Any = simple_evaluate(
            model, tasks=loaded, task_manager=manager, limit=limit,
            log_samples=False, bootstrap_iters=RESAMPLES,
        )  # fmt: skip
    found = {**results.get("groups", {}), **results["results"]}
    counts = results.get("n-samples", {})
    return {name: _plain(metrics) | _count(counts.get(name)) for name, metrics in found.items()}


def _is_path(task: str) -> bool:
    return Path(task).suffix in (".yaml", ".yml") or Path(task).is_dir()


def _check_names(names: Sequence[str], manager: TaskManager) -> None:
    for name in names:
        if name not in manager.all_tasks:
            close = nearest(name, manager.all_tasks)
            hint = N_(f"did you mean {close!r}? ") if close else ""
            raise InputError(
                f"lm-evaluation-harness has no task {name!r}", "tasks",
                f"{hint}`lm_eval ls tasks` lists them; a file or folder of one's own works too",
            )  # fmt: skip


def _named_tasks(names: Sequence[str], manager: TaskManager) -> Iterator[Task | Group]:
    for name in names:
        with _loading(name):
            yield from _whole(manager.load(name))


def _local_tasks(paths: Sequence[str]) -> Iterator[Task | Group]:
    for path in map(Path, paths):
        if not path.exists():
            raise InputError("there is no such task file", str(path), "check the path")
        folder = (path if path.is_dir() else path.parent).resolve()
        manager = TaskManager(include_path=folder, include_defaults=False)
        names = manager.all_subtasks if path.is_dir() else _defined_in(path.resolve(), manager)
        if not names:
            raise InputError("no task is defined here", str(path), "a task is a .yaml file")
        with contextlib.chdir(folder), _loading(str(path)):
            for name in names:
                yield from _whole(manager.load(name))


def _defined_in(path: Path, manager: TaskManager) -> list[str]:
    return [name for name, entry in manager.task_index.items() if entry.yaml_path == path]


def _whole(loaded: Mapping[str, Any]) -> list[Task | Group]:
    """What was asked for: a group with its tasks in it, or the tasks."""
    inside = {name for names in loaded.get("group_map", {}).values() for name in names}
    found = {**loaded["tasks"], **loaded.get("groups", {})}
    return [item for name, item in found.items() if name not in inside]


@contextlib.contextmanager
def _loading(task: str) -> Iterator[None]:
    """A task's own mistakes, and data that cannot be had, in one message."""
    try:
        yield
    except GroundupError:
        raise
    except Exception as error:  # whatever a task's code and its data set's code raise
        said = str(error).strip().split("\n")[0]
        raise GroundupError(
            f"the task does not load: {type(error).__name__}: {said}", task,
            "check its file and its data; offline, only data on this machine can be read",
        ) from error  # fmt: skip


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The harness's "acc,none" is accuracy without a filter: "acc"."""
    named = {name.removesuffix(",none"): value for name, value in metrics.items()}
    return {name: value for name, value in named.items() if name not in ("alias", "name", " ")}


def _count(counts: Mapping[str, Any] | None) -> dict[str, int]:
    return {"questions": counts["effective"]} if counts else {}
