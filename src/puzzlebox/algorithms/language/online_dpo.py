"""Online DPO (Guo et al. 2024, "Direct language model alignment from online AI feedback", arXiv 2402.04792).

Idea: DPO's pairs come from the starting model and go stale as the policy moves away from it. Here, in every iteration,
the policy answers each prompt twice, a judge says which answer is better, and DPO's loss is taken on that pair.

The judge is the task's verifier, a reward model (``--reward-model RUN``), or you (``--human true``: the two answers are
shown in the terminal, you press a, b, or = for a tie). A tie teaches nothing, so you are not asked about equal answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.ask import ask_person
from puzzlebox.acting.completions import rewards_of, with_rewards, writing_metrics
from puzzlebox.acting.pairs import check_source
from puzzlebox.algorithms.language.fine_tuning import Adam, State, iteration_key, update
from puzzlebox.algorithms.language.preferences import pair_step
from puzzlebox.algorithms.language.writing import Rewarded
from puzzlebox.data.language_model import Prompt
from puzzlebox.data.preferences import Answers, longest_answer
from puzzlebox.errors import UsageError
from puzzlebox.fields import param, part
from puzzlebox.ops.preference_losses import dpo_loss
from puzzlebox.types import Array, Example, Metrics, Trajectory


class OnlineDPO(Rewarded):
    """DPO on pairs that the policy itself writes, judged as they come."""

    steps: int = param(200, "iterations of the whole training", low=1)
    num_prompts: int = param(32, "prompts per iteration, each answered twice", low=1)
    num_epochs: int = param(1, "gradient steps on each iteration's pairs", low=1)
    beta: float = param(0.1, "β, how strongly the reference holds the policy", low=1e-6)
    human: bool = param(False, "you judge, in the terminal: press a, b, or = for a tie")
    optimiser: Adam = part(Adam, learning_rate=5e-7)

    def __check_init__(self):
        if self.human and self.reward_model:
            raise UsageError("human and reward_model are both given; one of them judges")
        if self.needs_verdicts:
            check_source(self.env, ())

    @property
    def group(self) -> int:
        return 2

    @property
    def asks_a_person(self) -> bool:
        return self.human

    @property
    def needs_verdicts(self) -> bool:
        return not self.human and not self.reward_model

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key = jax.random.split(iteration_key(state))
        examples, prompts = self.draw_prompts(self.num_prompts, prompts_key)
        written = self.write(self.policy(state), prompts, generate_key)
        scores = self._scores(examples, prompts, written.texts)
        trajectory = with_rewards(written.trajectory, scores)
        rows, told_apart = rank_answers(trajectory, np.asarray(scores))
        state, learning = self._improve(state, rows, told_apart, longest_answer(rows))
        return state, writing_metrics(trajectory) | learning | {"frac_ties": 1.0 - told_apart.mean()}

    def _scores(self, examples: Sequence[Example], prompts: Sequence[Prompt], texts: Sequence[str]) -> Sequence[float]:
        """The judge's score of each completion, ``[2 B]``, the two of a prompt beside each other."""
        if self.human:
            pairs = list(zip(prompts, texts[0::2], texts[1::2], strict=True))
            verdicts = [ask_person(*pair, f"{number}/{len(pairs)}") for number, pair in enumerate(pairs, 1)]
            return [score for verdict in verdicts for score in verdict]
        return rewards_of(self.env, examples, texts, 2)

    @update
    def _improve(self, state: State, rows: Answers, told_apart: Array, count: int) -> tuple[State, Metrics]:
        loss, iteration, figures = partial(dpo_loss, beta=self.beta), state.iteration, []
        for _ in range(self.num_epochs):
            state, metrics = pair_step(self, loss, state, self.start.decoder, rows, count, told_apart)
            figures.append(metrics)
        return state._replace(iteration=iteration + 1), jax.tree.map(lambda *x: jnp.mean(jnp.stack(x)), *figures)


def rank_answers(trajectory: Trajectory, scores: np.ndarray) -> tuple[Answers, Array]:
    """Rows ``[2 B, T]``: the better completion of every prompt, then the worse ones; and bool ``[B]``, False for ties.

    ``scores [2 B]``: the two of a prompt beside each other, as in the trajectory.
    """
    first, second = scores[0::2], scores[1::2]
    chosen = 2 * np.arange(len(first)) + (second > first)
    order = np.concatenate([chosen, chosen ^ 1])  # ^ 1: the other one of the two
    rows = Answers(trajectory.observation[order], trajectory.action[order], trajectory.mask[order])
    return rows, jnp.asarray(first != second)
