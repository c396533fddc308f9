"""STaR: the self-taught reasoner (Zelikman et al. 2022, arXiv 2203.14465).

Idea: let the model try many problems, keep the attempts whose answer is right, fine-tune on them, and repeat with the
better model. Every round fine-tunes the starting model, not the previous round's, so as not to overfit.

Departures: attempts that were cut off are not kept, or the model would forget how to stop. Where the task has levels,
``next_level`` adds the next harder one as soon as the newest is solved well enough; problems of all levels so far are
tried and learned from.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting import generate
from puzzlebox.acting.completions import complete, draw_examples
from puzzlebox.algorithms.language import fine_tuning
from puzzlebox.algorithms.language.fine_tuning import Adam, gradient_step, iteration_key, update
from puzzlebox.algorithms.language.sft import SFT
from puzzlebox.algorithms.language.writing import Sampling, Writing
from puzzlebox.data.language_model import Prompt
from puzzlebox.data.packing import EncodedText, Rows, batch_indices, bucket, host_seed, pack, take
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.fields import param, part
from puzzlebox.types import Array, Example, Key, Metrics

AT_ONCE = 128  # attempts per batch of generation


class State(NamedTuple):
    """``params`` is the trained part after the last round; ``level`` counts the levels that were added."""

    params: Any
    key: Key
    iteration: Array
    level: Array


class Attempts(Sampling):
    """Sampling that may also be greedy, as in the paper."""

    temperature: float = param(1.0, "of sampling; 0 takes the likeliest token", low=0.0)


class STaR(Writing):
    """Rounds of: try, keep what is right, fine-tune the starting model on it. One step is one round."""

    steps: int = param(10, "rounds of the whole training", low=1)
    num_problems: int = param(512, "problems tried per round", low=1)
    updates: int = param(40, "gradient steps of the first round", low=1)
    growth: float = param(1.2, "how many times as many each further round takes", low=1.0)
    rationalise: bool = param(False, "try failed problems again with the answer as a hint, and learn them without it")
    next_level: float = param(0.0, "share solved at which a harder level is added; 0: never", low=0.0, high=1.0)
    batch_size: int = param(32, "rows per gradient step", low=1)
    sampling: Sampling = part(Attempts)
    optimiser: Adam = part(Adam, learning_rate=2e-5, warmup=10)  # the warm-up is that of every round

    def __check_init__(self):
        if self.next_level and not self.env.levels:
            raise UsageError(f"next_level is {self.next_level}, but this task has no levels; leave it at 0")

    def init(self, key: Key) -> State:
        return State(self._learner().init(key).params, key, jnp.int32(0), jnp.int32(0))

    def step(self, state: State) -> tuple[State, Metrics]:
        # try, level by level
        levels, count = self._levels(int(state.level)), int(state.iteration)
        kept: list[EncodedText] = []
        helped: list[EncodedText] = []
        accuracy = 0.0
        for number, env in enumerate(levels):
            key = jax.random.fold_in(iteration_key(state), number)
            right, hinted, accuracy = self._attempt(state, env, -(-self.num_problems // len(levels)), key)
            kept, helped = kept + right, helped + hinted
        if not kept and not helped and count == 0:
            raise PuzzleboxError(
                f"none of the {self.num_problems} attempts was right, so there is nothing to learn from; start from a "
                "model that solves some of the problems (sft), or from easier ones"
            )
        # learn what came out right, and ask whether it is time for something harder
        updates = round(self.updates * self.growth**count)
        params, loss = self._fine_tune(state, kept + helped, updates) if kept or helped else (state.params, np.nan)
        harder = len(levels) < len(self._levels(None)) and accuracy >= self.next_level
        metrics = {
            "round": count + 1,
            "level": len(levels) - 1,
            "accuracy": accuracy,
            "kept": len(kept),
            "rationalised": len(helped),
            "updates": updates,
            "loss": loss,
        }
        state = State(params, state.key, state.iteration + 1, state.level + harder)
        return state, {name: jnp.float32(value) for name, value in metrics.items()}

    def _levels(self, added: int | None) -> list[Any]:
        """The task at its own level and at the next ``added`` harder ones (None: at all harder ones)."""
        env: Any = self.env  # one with levels is a dataclass with the field ``level``
        if not self.next_level:
            return [env]
        first = env.levels.index(env.level)
        names = env.levels[first:] if added is None else env.levels[first : first + added + 1]
        return [dataclasses.replace(env, level=name) for name in names]

    def _attempt(
        self, state: State, env: Any, count: int, key: Key
    ) -> tuple[list[EncodedText], list[EncodedText], float]:
        """The right attempts at ``count`` problems, those right only with a hint, and the share of the former."""
        problems_key, attempts_key, hints_key = jax.random.split(key, 3)
        examples = draw_examples(env, count, problems_key)
        texts = self._try(state, env, examples, [example.prompt for example in examples], attempts_key)
        kept = [text for text in texts if text is not None]
        failed = [example for example, text in zip(examples, texts, strict=True) if text is None]
        helped = []
        if self.rationalise and failed:
            texts = self._try(state, env, failed, [env.hint(example) for example in failed], hints_key)
            helped = [text for text in texts if text is not None]
        return kept, helped, len(kept) / count

    def _try(
        self, state: State, env: Any, examples: list[Example], prompts: list[Prompt], key: Key
    ) -> list[EncodedText | None]:
        """One attempt per example at ``prompts``: None where it is wrong, else the answer behind the example's own
        prompt.

        ``prompts`` may hold hints; what is learned does not.
        """
        model, texts = self.policy(state), []
        for first in range(0, len(examples), AT_ONCE):
            some = prompts[first : first + AT_ONCE]
            full = some + some[:1] * (AT_ONCE - len(some)) if len(prompts) > AT_ONCE else some  # one shape, one program
            written = complete(
                model,
                [model.format_prompt(prompt, env.chat) for prompt in full],
                jax.random.fold_in(key, first),
                max_tokens=self.sampling.max_tokens or env.max_tokens,
                sampling=generate.Sampling(self.sampling.temperature),
            )
            ended = [bool(row.any()) for row in np.asarray(written.trajectory.terminated)]
            rows = zip(examples[first : first + AT_ONCE], written.ids, written.texts, ended, strict=False)
            for example, tokens, answer, whole in rows:
                prompt = model.encode(model.format_prompt(example.prompt, env.chat))
                text = EncodedText(prompt + tokens, [False] * len(prompt) + [True] * len(tokens))
                texts.append(text if whole and env.correct(example, answer) else None)
        return texts

    def _learner(self) -> SFT:
        """The fine-tuning of a round."""
        return SFT(self.env, self.start, anneal=False, optimiser=self.optimiser, lora=self.lora)

    def _fine_tune(self, state: State, texts: list[EncodedText], updates: int) -> tuple[Any, float]:
        """The trained part after ``updates`` steps from the starting model, and the mean loss of the last tenth."""
        longest = max(len(text.tokens) for text in texts) - 1
        rows = pack(texts, bucket(max(longest, 64)), self.start.tokenizer.pad_id)
        seed = host_seed(iteration_key(state))
        learning, losses = self._learner().init(jax.random.fold_in(state.key, 0)), []
        for number in range(updates):
            chosen = batch_indices(len(rows.mask), self.batch_size, number, seed)
            learning, metrics = self._improve(learning, take(rows, chosen))
            losses.append(metrics["loss"])
        return learning.params, float(np.mean(jax.device_get(losses[-max(1, updates // 10) :])))

    @update
    def _improve(self, learning: fine_tuning.State, rows: Rows) -> tuple[fine_tuning.State, Metrics]:
        """One gradient step on these rows, SFT's."""
        learner = self._learner()
        return gradient_step(learner.loss, learner.transform(), learning, learner.frozen(), rows)
