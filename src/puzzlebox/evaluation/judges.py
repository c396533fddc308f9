"""Who says which of two answers is better: a verifier, a reward model, or a language model behind an HTTP interface.

A judge is told which answer comes first and which second, because some judges prefer what they read first; whoever
compares should ask in both orders (`winrate` does). The HTTP interface is that of OpenAI's chat completions, which most
servers of language models speak. Source: Zheng et al. 2023, Judging LLM-as-a-Judge, arXiv 2306.05685.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from puzzlebox.acting.completions import rewards_of
from puzzlebox.data.language_model import Prompt
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import Example, Task

Compare = Callable[[Sequence[Example], Sequence[str], Sequence[str]], list[float]]  # 1: the first is better, ½: a tie

TRIES = 3
TIMEOUT = 60.0  # seconds for one answer
AT_ONCE = 4  # requests
QUESTION = """Here are a request and two answers to it. Which answer is better? Do not prefer an answer for being long.

Request:
{request}

Answer A:
{first}

Answer B:
{second}

Reply with one letter and nothing else: A, B, or T for a tie."""


def make_judge(name: str, task: Task) -> Compare:
    """The judge called ``name``: ``verifier``, the run directory of a reward model, or ``http://HOST/v1,model=NAME``.

    Raises UsageError for an unknown judge, and for a verifier where the task has none.
    """
    if name == "verifier":
        return verifier(task)
    if name.startswith(("http://", "https://")):
        address, _, model = name.partition(",model=")
        return endpoint(address, model, os.environ.get("OPENAI_API_KEY", ""))
    from puzzlebox.runs.build import load_judge

    try:
        judge = load_judge(name)
    except UsageError as error:
        raise UsageError(
            f"judge '{name}' is neither verifier, nor the address of a server (http://HOST/v1,model=NAME), "
            f"nor a run of reward_model ({error})"
        ) from None
    return by_score(lambda examples, texts: judge([example.prompt for example in examples], texts, task.chat))


def verifier(task: Task) -> Compare:
    """The answer with the higher reward wins; raises UsageError where the task has no verifier."""
    from puzzlebox.evaluation.language_evaluation import verifies

    if not verifies(task):
        raise UsageError("this task has no verifier; name another judge: --judge DIR_OF_A_REWARD_MODEL, or an address")
    return by_score(lambda examples, texts: rewards_of(task, examples, texts))


def by_score(score: Callable[[Sequence[Example], Sequence[str]], list[float]]) -> Compare:
    """A judge that scores each answer alone: the higher score wins, equal scores are a tie. The order cannot matter."""

    def compare(examples: Sequence[Example], first: Sequence[str], second: Sequence[str]) -> list[float]:
        pairs = zip(score(examples, first), score(examples, second), strict=True)
        return [0.5 + 0.5 * ((a > b) - (a < b)) for a, b in pairs]

    return compare


def endpoint(address: str, model: str, key: str) -> Compare:
    """A language model at ``address`` (…/v1) reads both answers and names the better one.

    Raises PuzzleboxError when the server cannot be reached, refuses, or says something that is no verdict.
    """
    if not model:
        raise UsageError(f"which model shall judge at {address}? write {address},model=NAME")

    def one(example: Example, first: str, second: str) -> float:
        """The verdict on one pair."""
        question = QUESTION.format(request=plain(example.prompt), first=first, second=second)
        return read_verdict(ask(address, model, key, question), address)

    def compare(examples: Sequence[Example], first: Sequence[str], second: Sequence[str]) -> list[float]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, examples, first, second))

    return compare


def ask(address: str, model: str, key: str, question: str) -> str:
    """What the model at ``address`` replies to one message.

    A server that is busy or failing (408, 429, 5xx) or out of reach is asked again, `TRIES` times in all, after pauses
    that double. Raises PuzzleboxError for anything that asking again cannot help, and after the last try.
    """
    body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 8}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(
        address.rstrip("/") + "/chat/completions", json.dumps(body).encode(), headers, method="POST"
    )
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return str(json.load(response)["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            said = " ".join(error.read().decode(errors="replace").split())[:200]
            error.close()
            problem = f"answers {error.code} {error.reason}: {said}"
            if error.code in (401, 403):
                raise PuzzleboxError(
                    f"the judge at {address} {problem}; put its key into the variable OPENAI_API_KEY"
                ) from None
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, TimeoutError) as error:
            problem = f"cannot be reached: {error.reason if isinstance(error, urllib.error.URLError) else error}"
        except (ValueError, KeyError, IndexError, TypeError):
            raise PuzzleboxError(
                f"the judge at {address} does not speak the chat completions interface; does the address end with /v1?"
            ) from None
    raise PuzzleboxError(f"the judge at {address} {problem}")


def read_verdict(reply: str, address: str) -> float:
    """1, 0 or ½ from ``A``, ``B`` or ``T``, brackets and full stops aside; else raises PuzzleboxError."""
    letter = reply.strip(" \t\r\n*.()[]\"'`").upper()
    words = {"A": 1.0, "B": 0.0, "T": 0.5, "TIE": 0.5, "ANSWER A": 1.0, "ANSWER B": 0.0}
    if letter not in words:
        raise PuzzleboxError(
            f"the judge at {address} replied {reply[:60]!r} where A, B or T was asked for; choose a model that follows"
        )
    return words[letter]


def plain(prompt: Prompt) -> str:
    """A prompt for reading: messages one below the other."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{message['role']}: {message['content']}" for message in prompt)
