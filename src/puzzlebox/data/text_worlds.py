"""Language tasks by name: a task with a verifier, or a data file, which `RowsTask` makes a task of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from puzzlebox.data import datasets
from puzzlebox.data.dataset_files import SUFFIXES
from puzzlebox.envs import PREFIXES as WORLD_PREFIXES
from puzzlebox.envs.text import TASKS, make_task
from puzzlebox.envs.text.rewards import reward_function
from puzzlebox.envs.text.task import check_request, fill, is_test
from puzzlebox.errors import UsageError, unknown
from puzzlebox.types import Example, Task, TaskOfRows


def is_text(name: str) -> bool:
    """Whether ``name`` is a language task or a file, not a world."""
    base = name.partition(",")[0]
    if base.partition(":")[0] in WORLD_PREFIXES:  # a map, grid:my_map.txt
        return False
    return base in TASKS or base.startswith("reasoning:") or is_file(base)


def is_file(base: str) -> bool:
    """Whether a name without options means a data file, or a directory with one."""
    return base.endswith(SUFFIXES) or (base != "" and base not in TASKS and Path(base).is_dir())


def make_text(name: str) -> Task:
    """The task or file called ``name``, options after commas: ``arith,level=sums``, ``rows.jsonl,reward=my.py:score``.

    Raises UsageError for an unknown name or option, and for a file that cannot be read.
    """
    base, *settings = name.split(",")
    if not is_file(base):
        return make_task(name)
    options = {"reward": "", "skip_bad": "false", "max_tokens": "128"}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in options:
            raise unknown(f"option of {base}", key, options)
        options[key] = value
    if not options["max_tokens"].isdigit() or int(options["max_tokens"]) < 1:
        raise UsageError(f"max_tokens is '{options['max_tokens']}'; it must be a whole number, 1 or more")
    if options["skip_bad"] not in ("true", "false"):
        raise UsageError(f"skip_bad is '{options['skip_bad']}'; it must be true or false")
    return RowsTask(base, options["reward"], options["skip_bad"] == "true", int(options["max_tokens"]))


def skipping_bad(name: str) -> str:
    """A file's name with the option that leaves broken rows out. Raises UsageError for what is no file."""
    if not is_file(name.partition(",")[0]):
        what = f"'{name}' is none" if name else "none is named"
        raise UsageError(f"--skip-bad leaves out broken rows of a file, and {what}; leave it out")
    return name if ",skip_bad=" in name else f"{name},skip_bad=true"


def skipped_report(task: Task) -> dict[str, Any]:
    """How many rows of a file were left out (``skipped_rows``) and ``notes`` about them; empty for other tasks."""
    if not isinstance(task, TaskOfRows):
        return {}
    left_out, total = task.skipped, len(task.skipped) + len(task.dataset.rows)
    notes = [f"{len(left_out)} of {total} rows are broken and left out; the first: {left_out[0]}"] if left_out else []
    return {"skipped_rows": len(left_out), "notes": notes}


class RowsTask:
    """A file of rows as a task. One prompt (or text) in five is held out by its hash, as in every task.

    A conversation is a prompt, all its messages but the last, and a completion, the words of the last; so a chat
    template writes the turns, and what ends a turn is learned too.

    ``reward`` names a Python function; without one, a row with a column ``answer`` is correct where the completion is
    that answer, and otherwise there is no reward. Equal only to itself.
    """

    chat = False  # messages are messages already, and plain prompts are meant to be continued
    levels = ()

    def __init__(self, path: str, reward: str, skip_bad: bool, max_tokens: int):
        self.name, self.max_tokens = path, max_tokens
        self.dataset = datasets.read(path, skip_bad=skip_bad)
        self.kind = self.dataset.kind
        self._reward = reward_function(reward) if reward else None
        self._splits: dict[str, list[datasets.Row]] = {"train": [], "test": []}
        for row in self.dataset.rows:
            begins = row.text if row.prompt is None else row.prompt  # a prompt is never in both splits
            self._splits["test" if is_test(str(begins)) else "train"].append(row)
        if not self._splits["train"]:
            self._splits["train"] = list(self.dataset.rows)

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was wrong with the rows that were left out."""
        return self.dataset.skipped

    @property
    def held_out(self) -> bool:
        """False where the rows are so few that none is left for testing."""
        return bool(self._splits["test"])

    def rows(self, split: str) -> list[datasets.Row]:
        """All rows of a split; where nothing is held out (few rows), the training rows."""
        return self._splits[split] or self._splits["train"]

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """``count`` rows in the random order of ``seed``; training rows repeat when there are fewer."""
        check_request(split, count)
        rows = self.rows(split)
        order = random.Random(seed).sample(rows, min(count, len(rows)))
        return fill([self._example(row) for row in order], split, count)

    def _example(self, row: datasets.Row) -> Example:
        prompt: Any = row.prompt or ""
        completion: Any = row.text or row.completion or row.chosen or ""
        if not isinstance(completion, str):
            messages = [*prompt, *completion]
            prompt, completion = messages[:-1], messages[-1]["content"]
        prompt = prompt if isinstance(prompt, str) else list(prompt)
        answer = row.data.get("answer")
        return Example(prompt, "" if answer is None else str(answer), completion, row.data, row.source)

    def rewards(self, examples: Sequence[Example], completions: Sequence[str]) -> list[float]:
        """The rewards of several completions at once, ``[N]``: reward functions have TRL's form, which takes lists."""
        if self._reward is None:
            return [float(self.correct(e, c)) for e, c in zip(examples, completions, strict=True)]
        known = dict.fromkeys(name for example in examples for name in example.data)
        columns = {name: [example.data.get(name) for example in examples] for name in known}
        return self._reward([example.prompt for example in examples], completions, columns)

    def reward(self, example: Example, completion: str) -> float:
        return self.rewards([example], [completion])[0]

    def correct(self, example: Example, completion: str) -> bool:
        """Whether the completion is the row's answer; with a reward function, whether it earns 1 or more."""
        if self._reward is not None:
            return self.reward(example, completion) >= 1.0
        if not example.answer:
            raise UsageError(
                f"{example.source} has no column 'answer' to judge completions by; add one, or name a reward function: "
                f"{self.name},reward=FILE.py:FUNCTION"
            )
        return completion.strip() == example.answer.strip()

    def check_verdicts(self) -> None:
        """Raises UsageError unless completions can be judged: by a reward function, or by the answer of each row."""
        if self._reward is not None:
            self._reward.check_columns({name for row in self.dataset.rows for name in row.data})
            return
        for row in self.dataset.rows:
            self.correct(self._example(row), "")

    def hint(self, example: Example) -> str:
        """The prompt with the answer given away, for STaR's rationalisation."""
        return f"{example.prompt}\n(The answer is {example.answer}.)\n"
