"""Algorithms that learn from what they write: the policy answers prompts, a verifier or a reward model judges.

Their steps all begin in the same way: draw problems, let the model answer them, reward the answers (`collect`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx

from puzzlebox.acting import generate
from puzzlebox.acting.completions import Completions, complete, draw_examples, rewards_of, with_rewards
from puzzlebox.acting.score import score, score_groups
from puzzlebox.algorithms.language.fine_tuning import FineTuning, check_prompt
from puzzlebox.data.language_model import LanguageModel, Prompt
from puzzlebox.fields import param, part
from puzzlebox.nets.decoder import Decoder
from puzzlebox.types import Array, Example, Key, TaskOfRows, Trajectory


class Sampling(eqx.Module):
    """How completions are drawn."""

    max_tokens: int = param(0, "longest completion; 0: what the task needs", low=0)
    temperature: float = param(1.0, "of sampling", low=1e-3)


class Writing(FineTuning):
    """The base of algorithms that write while they learn: prompts, and ``group`` completions of each."""

    sampling: Sampling = part(Sampling)

    @property
    def group(self) -> int:
        return 1

    @property
    def max_tokens(self) -> int:
        """The longest completion, in tokens."""
        return self.sampling.max_tokens or self.env.max_tokens

    def draw_prompts(self, count: int, key: Key) -> tuple[list[Example], list[Prompt]]:
        """``count`` problems, and the prompt of each in the form that this model expects."""
        examples = draw_examples(self.env, count, key)
        return examples, [self.start.format_prompt(example.prompt, self.env.chat) for example in examples]

    def write(self, model: LanguageModel, prompts: Sequence[Prompt], key: Key, greedy: bool = False) -> Completions:
        """``group`` completions of every prompt by the model."""
        sampling = generate.Sampling(0.0 if greedy else self.sampling.temperature)
        return complete(model, prompts, key, max_tokens=self.max_tokens, sampling=sampling, group=self.group)

    def score(
        self, decoder: Decoder, trajectory: Trajectory, columns: tuple[int, int] | None = None
    ) -> tuple[Array, Array]:
        """log π of every action and the entropy there, in nats, ``[B, T]``.

        With ``columns``, the `widths` of the whole trajectory, a group's prompt is read only once (`score_groups`).
        """
        rows = trajectory.observation, trajectory.action, trajectory.mask
        if columns is None:
            return score(decoder, *rows, self.max_tokens, self.sampling.temperature)
        return score_groups(decoder, *rows, self.group, columns, self.sampling.temperature)

    @property
    def needs_verdicts(self) -> bool:
        """Whether the task itself must be able to judge completions."""
        return True

    def check_rows(self) -> None:
        """Raises UsageError for rows of a file that cannot be judged, or whose prompt leaves no room for an answer."""
        if not isinstance(self.env, TaskOfRows):
            return
        if self.needs_verdicts:
            self.env.check_verdicts()
        for row in self.env.dataset.rows:
            check_prompt(self.start, row, self.env.chat, self.max_tokens)


class Rewarded(Writing):
    """``num_prompts`` problems per iteration; their completions are rewarded by the task or by a reward model."""

    reward_model: str = param("", "run directory of a reward model that judges instead of the task")
    num_prompts: int = param(64, "prompts per iteration, one completion each", low=1)

    @property
    def needs_verdicts(self) -> bool:
        return not self.reward_model

    def collect(self, state: Any, prompts_key: Key, generate_key: Key) -> Trajectory:
        """Completions of ``num_prompts`` problems with their rewards, ``[num_prompts · group, T]``."""
        examples, prompts = self.draw_prompts(self.num_prompts, prompts_key)
        written = self.write(self.policy(state), prompts, generate_key)
        return with_rewards(written.trajectory, rewards_of(self.env, examples, written.texts, self.group))


class Grouped(Rewarded):
    """Several completions of every prompt, which are compared with each other."""

    num_prompts: int = param(16, "prompts per iteration", low=1)
    group_size: int = param(8, "completions of each prompt", low=2)

    @property
    def group(self) -> int:
        return self.group_size
