"""A language model answers prompts and is rewarded for it: `generate` for texts instead of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.generate import Sampling, completion_ids, generate, trim
from puzzlebox.data.language_model import LanguageModel, Prompt
from puzzlebox.data.packing import host_seed
from puzzlebox.errors import PuzzleboxError
from puzzlebox.types import Example, Key, Metrics, RewardsMany, Task, Trajectory


class Completions(NamedTuple):
    """What a model wrote: ``trajectory [B, T]``, and the completions of its ``B`` rows as ``texts`` and token ``ids``.

    ``ids`` include the stop token where there is one. They are the ids that were sampled: tokenising the text again may
    give others, and then the losses would be about tokens that the policy never chose.
    """

    trajectory: Trajectory
    texts: list[str]
    ids: list[list[int]]


def draw_examples(task: Task, count: int, key: Key) -> list[Example]:
    """``count`` training problems of the task, chosen by ``key``."""
    return task.examples("train", count, int(np.random.default_rng(host_seed(key)).integers(2**31)))


def complete(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    key: Key,
    *,
    max_tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008
    group: int = 1,
    stop: Sequence[str] = (),
) -> Completions:
    """``group`` completions of every prompt, in consecutive rows, each at most ``max_tokens`` long.

    A completion ends at a stop token, or as soon as its text contains one of ``stop``. Raises UsageError as `generate`.
    """
    tokenizer = model.tokenizer
    finished = (lambda ids: any(s in tokenizer.decode(ids) for s in stop)) if stop else None
    trajectory = trim(
        generate(
            model.decoder,
            [model.encode(prompt) for prompt in prompts],
            key,
            max_tokens=max_tokens,
            sampling=sampling,
            group=group,
            stop_ids=tokenizer.stop_ids,
            finished=finished,
            pad_id=tokenizer.pad_id,
        )
    )
    ids = completion_ids(trajectory)
    return Completions(trajectory, [model.decode(row) for row in ids], ids)


def rewards_of(task: Task, examples: Sequence[Example], texts: Sequence[str], group: int = 1) -> list[float]:
    """The task's reward of every text, ``[N]``; ``group`` consecutive texts answer the same example."""
    asked = [examples[i // group] for i in range(len(texts))]
    if isinstance(task, RewardsMany):
        return task.rewards(asked, texts)
    return [task.reward(example, text) for example, text in zip(asked, texts, strict=True)]


def with_rewards(trajectory: Trajectory, rewards: Sequence[float]) -> Trajectory:
    """The trajectory with ``rewards[b]`` at row b's last token. Raises PuzzleboxError for one that is not finite."""
    values = np.asarray(rewards, np.float32)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise PuzzleboxError(f"the reward of completion {row + 1} is {values[row]}; a reward must be a finite number")
    ended = trajectory.terminated | trajectory.truncated
    return trajectory._replace(reward=jnp.where(ended, jnp.asarray(values)[:, None], 0.0))


def writing_metrics(trajectory: Trajectory) -> Metrics:
    """Rewards, lengths in tokens, and the share of completions that were cut off."""
    reward = np.asarray(trajectory.reward).sum(axis=1)
    return {
        "reward": reward.mean(),
        "reward_std": reward.std(),
        "completions/mean_length": np.asarray(trajectory.mask).sum(axis=1).mean(),
        "completions/cut_off": np.asarray(trajectory.truncated).any(axis=1).mean(),
    }
