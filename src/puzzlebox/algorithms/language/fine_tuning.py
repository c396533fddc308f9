"""What all language algorithms share: a starting model, the part of it that trains, gradient steps.

Here, unlike anywhere else in the package, algorithms have a base class: what is left in their files is the lesson. It
stands on three ideas. The starting model is also the reference of KL penalties and preference losses; it never changes,
so it is a field, and the state holds only what training changes. All randomness of an iteration comes
from the state's key and the number of the iteration (`iteration_key`), so that a resumed run repeats it. And `step`
runs on the host, where verifiers and tokenizers are; what is compiled is the method marked `update`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.data.dataset_rows import Row, Text
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.fields import fill, param, part
from puzzlebox.nets.decoder import Decoder
from puzzlebox.nets.linear import add_lora, scaled_layers, trainable
from puzzlebox.ops import schedules
from puzzlebox.types import Array, Key, Metrics, Task, TaskOfRows


class State(NamedTuple):
    """``params`` is the part of the model that trains, None elsewhere; ``key`` never changes (see `iteration_key`)."""

    params: Any
    optimiser: optax.OptState
    key: Key
    iteration: Array  # int32 []


class Adam(eqx.Module):
    """The optimiser: Adam on clipped gradients."""

    learning_rate: float = param(1e-6, "Adam's step size", low=0.0)
    warmup: int = param(0, "updates over which the step size rises", low=0)
    max_grad_norm: float = param(1.0, "gradients with a larger global norm are clipped to it", low=0.0)

    def transform(self, anneal_over: int | None = None) -> optax.GradientTransformation:
        """Adam; the step size rises over ``warmup`` updates and falls to zero over ``anneal_over`` (None: it stays)."""
        rise = schedules.linear(0.0, 1.0, self.warmup)
        fall = schedules.linear(1.0, 0.0, anneal_over or 1) if anneal_over else lambda step: 1.0
        rate = lambda step: self.learning_rate * rise(step + 1) * fall(step)  # noqa: E731
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(rate, b2=0.999))


class Passes(eqx.Module):
    """How often an iteration's batch is learned from, and in how many minibatches."""

    num_epochs: int = param(1, "passes over each iteration's completions", low=1)
    num_minibatches: int = param(1, "gradient steps per pass", low=1)

    def check(self, count: int, what: str) -> None:
        """Raises UsageError unless the minibatches share ``count`` of ``what`` evenly."""
        if count % self.num_minibatches:
            raise UsageError(f"num_minibatches is {self.num_minibatches}, which does not divide {what}, {count}")


class LoRA(eqx.Module):
    """Which part of a model trains: with ``lora_rank`` 0 every weight, otherwise low-rank adapters beside them.

    Source: Hu et al. 2021, arXiv 2106.09685: W' = W + (alpha / rank) · A · B.
    """

    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")

    def trained(self, decoder: Decoder, key: Key) -> Any:
        """The part that trains, None elsewhere: all weights, or new adapters. `eqx.combine` joins it with `frozen`."""
        if self.lora_rank:
            decoder = add_lora(decoder, self.lora_rank, self.lora_alpha, tuple(self.lora_targets.split(",")), key)
        return eqx.filter(decoder, trainable(decoder))

    def frozen(self, decoder: Decoder) -> Any:
        """The rest of the model, None where `trained` has arrays."""
        if self.lora_rank:
            return scaled_layers(decoder, self.lora_rank, self.lora_alpha, tuple(self.lora_targets.split(",")))
        return eqx.filter(decoder, eqx.is_inexact_array, inverse=True)


class Listener:
    """Where somebody may leave a function that gets the next update as a compiled program, once, to measure its memory.

    It is a static field of algorithms. All listeners are equal, so that leaving a function compiles nothing again.
    """

    tell: Callable[[Any], None] | None = None

    def take(self) -> Callable[[Any], None] | None:
        """The function that was left, or None; after that there is none."""
        tell, self.tell = self.tell, None
        return tell

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listener)

    def __hash__(self) -> int:
        return 0


class FineTuning(eqx.Module):
    """The base of all language algorithms: a task, a starting model, and the part of it that trains.

    ``steps`` counts iterations here, not environment steps.
    """

    env: Task
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(100, "iterations of the whole training", low=1)
    optimiser: Adam = part(Adam)
    lora: LoRA = part(LoRA)
    listener: Listener = eqx.field(default_factory=Listener, static=True, repr=False)

    def __init__(self, env: Task, start: LanguageModel, **values: Any):
        """``values`` are hyper-parameters by the names of their flags, those of the parts included.

        Raises UsageError for an unknown name and for a value out of its range.
        """
        fill(self, {"env": env, "start": start, **values})

    @property
    def iteration_steps(self) -> int:
        return 1

    @property
    def asks_a_person(self) -> bool:
        """Whether a person judges at the terminal; they answer for one agent at a time and need the screen."""
        return False

    def init(self, key: Key) -> Any:
        """A `State`, or what an algorithm has in its place."""
        return initial_state(self.lora.trained(self.start.decoder, key), self.transform(), key)

    def policy(self, state: Any, greedy: bool = False) -> Any:
        """What training has made of the starting model (of a reward model: the judge)."""
        return self.model_with(state.params)

    def model_with(self, params: Any) -> LanguageModel:
        """The starting model with ``params`` as its trained part."""
        return LanguageModel(eqx.combine(params, self.frozen()), self.start.tokenizer)

    def frozen(self) -> Any:
        """The part of the model that does not train, None elsewhere."""
        return self.lora.frozen(self.start.decoder)

    def transform(self) -> optax.GradientTransformation:
        """The optimiser with its schedule."""
        return self.optimiser.transform()

    def check_rows(self) -> None:
        """Raises UsageError for the first row of a file that cannot be learned from: here, one that is too long."""
        for row in self.env.dataset.rows if isinstance(self.env, TaskOfRows) else ():
            if answers := answers_of(row):
                check_answers(self.start, row, answers)
            else:
                check_prompt(self.start, row, self.env.chat, self.env.max_tokens)


def update(method: Callable[..., tuple[Any, Metrics]]) -> Callable[..., tuple[Any, Metrics]]:
    """Compiles the update of an algorithm, ``(self, state, …) -> (state, metrics)``.

    Where somebody listens (`Listener`), they are given the program before it runs for the first time. JAX does not know
    of that compilation, but the second call finds it in the cache of compiled programs on disk.
    """
    compiled: Any = eqx.filter_jit(method)

    @functools.wraps(method)
    def run(self: FineTuning, *arguments: Any) -> tuple[Any, Metrics]:
        tell = self.listener.take()
        if tell is None:
            return compiled(self, *arguments)
        program = compiled.lower(self, *arguments).compile()
        tell(program.compiled)
        return program(self, *arguments)

    return run


def initial_state(params: Any, transform: optax.GradientTransformation, key: Key) -> State:
    return State(params, transform.init(params), key, jnp.int32(0))


def iteration_key(state: Any) -> Key:
    """The randomness of this iteration: a resumed run draws what an unbroken one would have drawn."""
    return jax.random.fold_in(state.key, state.iteration)


def gradient_step(
    loss: Callable[..., tuple[Array, Metrics]], transform: optax.GradientTransformation, state: Any, *arguments: Any
) -> tuple[Any, Metrics]:
    """One iteration of a single update with ``loss(params, *arguments) -> (loss, metrics)``; adds ``grad_norm``.

    Returns the state with its iteration counted up, and the metrics.
    """
    params, optimiser, metrics = _descend(loss, transform, state.params, state.optimiser, *arguments)
    return state._replace(params=params, optimiser=optimiser, iteration=state.iteration + 1), metrics


def gradient_steps(
    loss: Callable[..., tuple[Array, Metrics]],
    transform: optax.GradientTransformation,
    state: Any,
    batch: tuple[Any, ...],
    key: Key,
    passes: Passes,
    group: int = 1,
) -> tuple[Any, Metrics]:
    """One iteration of several epochs of minibatches, each in a new order; metrics are means over all updates.

    The leaves of ``batch`` are ``[B, ...]``, of which ``group`` consecutive rows stay together;
    ``loss(params, *minibatch) -> (loss, metrics)``. Returns the state with its iteration counted up, and the metrics.
    """
    count = len(jax.tree.leaves(batch)[0]) // group

    def one(carry: tuple[Any, optax.OptState], chosen: Array) -> tuple[tuple[Any, optax.OptState], Metrics]:
        minibatch = jax.tree.map(lambda x: x[chosen], batch)
        params, optimiser, metrics = _descend(loss, transform, *carry, *minibatch)
        return (params, optimiser), metrics

    orders = jax.vmap(lambda k: jax.random.permutation(k, count))(jax.random.split(key, passes.num_epochs))
    rows = orders[..., None] * group + jnp.arange(group)
    indices = rows.reshape(passes.num_epochs * passes.num_minibatches, -1)
    (params, optimiser), metrics = jax.lax.scan(one, (state.params, state.optimiser), indices)
    state = state._replace(params=params, optimiser=optimiser, iteration=state.iteration + 1)
    return state, jax.tree.map(jnp.mean, metrics)


def _descend(loss, transform, params, optimiser, *arguments) -> tuple[Any, optax.OptState, Metrics]:
    gradient, metrics = jax.grad(loss, has_aux=True)(params, *arguments)
    updates, optimiser = transform.update(gradient, optimiser, params)
    norm = optax.tree.norm(gradient)
    return optax.apply_updates(params, updates), optimiser, metrics | {"grad_norm": norm}


def answers_of(row: Row) -> list[Text]:
    """The texts of a row that must fit behind its prompt. Plain text is none: it is split where a row ends."""
    answers = [text for text in (row.completion, row.chosen, row.rejected, *(row.completions or ())) if text]
    return answers + ([row.text] if isinstance(row.text, tuple) else [])


def check_prompt(model: LanguageModel, row: Row, chat: bool, more: int) -> None:
    """Raises UsageError where the model's context has no room for ``more`` tokens behind the row's prompt."""
    if row.prompt is None:
        raise UsageError(f"{row.source} has no prompt to complete; sft learns from such a file")
    prompt = row.prompt if isinstance(row.prompt, str) else list(row.prompt)
    length, context = len(model.encode(model.format_prompt(prompt, chat))), model.decoder.config.context
    if length + more > context:
        raise UsageError(
            f"{row.source}: the prompt has {length} tokens, and {more} more for a completion do not fit into the "
            f"model's context of {context}; shorten the prompt or lower --max-tokens"
        )


def check_answers(model: LanguageModel, row: Row, answers: Sequence[Text]) -> None:
    """Raises UsageError where one of the row's answers, with its prompt, is longer than the model's context."""
    longest = max(sum(map(len, model.encode_answered(row.prompt, answer))) for answer in answers)
    context = model.decoder.config.context
    if longest - 1 > context:
        raise UsageError(
            f"{row.source} has {longest} tokens with its prompt, more than the model's context of {context}; shorten "
            f"it or choose a model with a longer context"
        )
