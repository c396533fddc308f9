"""What the language algorithms share: the part of a model that trains, experience with rewards, gradient steps.

An algorithm's ``start`` is the model it starts from, which is also the reference that KL penalties and preference
losses hold on to. It never changes, so it is a field; the state holds only what training changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.acting.generate import Sampling, completions, generate, trim
from puzzlebox.data.language_model import LanguageModel, Prompt
from puzzlebox.envs.text.task import Example
from puzzlebox.errors import PuzzleboxError
from puzzlebox.nets.decoder import Decoder
from puzzlebox.nets.linear import add_lora, scaled_layers, trainable
from puzzlebox.ops import schedules
from puzzlebox.types import Array, Key, Metrics, Trajectory


class State(NamedTuple):
    """``params`` is the part of the model that trains, None elsewhere; ``key`` never changes (see `iteration_key`)."""

    params: Any
    optimiser: optax.OptState
    key: Key
    iteration: Array


def trained_part(decoder: Decoder, rank: int, alpha: float, targets: str, key: Key) -> Any:
    """What trains: with ``rank`` 0 every array, otherwise fresh adapters on the layers named in ``targets``.

    ``eqx.combine(trained_part, frozen_part)`` is the whole model.
    """
    if rank:
        decoder = add_lora(decoder, rank, alpha, tuple(targets.split(",")), key)
    return eqx.filter(decoder, trainable(decoder))


def frozen_part(decoder: Decoder, rank: int, alpha: float, targets: str) -> Any:
    """The rest of the model, None where it trains."""
    if rank:
        return scaled_layers(decoder, rank, alpha, tuple(targets.split(",")))
    return eqx.filter(decoder, eqx.is_inexact_array, inverse=True)


def begin(params: Any, transform: optax.GradientTransformation, key: Key) -> State:
    return State(params, transform.init(params), key, jnp.int32(0))


def adamw(
    learning_rate: float, max_grad_norm: float, warmup: int = 0, anneal_over: int | None = None
) -> optax.GradientTransformation:
    """Adam after clipping the global gradient norm; the rate rises over ``warmup`` updates, and may fall to zero."""
    rise = schedules.linear(0.0, 1.0, warmup)
    fall = schedules.linear(1.0, 0.0, anneal_over or 1) if anneal_over else lambda step: 1.0
    rate = lambda step: learning_rate * rise(step + 1) * fall(step)  # noqa: E731
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.adam(rate, b2=0.999))


def iteration_key(state: Any) -> Key:
    """The randomness of this iteration: a resumed run draws what an unbroken one would have drawn."""
    return jax.random.fold_in(state.key, state.iteration)


def host_seed(key: Key) -> tuple[int, ...]:
    """A seed for NumPy from a JAX key, for choices made on the host."""
    return tuple(int(word) for word in np.asarray(jax.random.key_data(key)).ravel())


def generator(key: Key) -> np.random.Generator:
    return np.random.default_rng(host_seed(key))


def written(model: LanguageModel, prompt: Any, completion: Any) -> tuple[list[int], list[int]]:
    """Prompt and completion, each a text or messages, as token ids; the completion with the token that ends it.

    Where the completion is messages, only the words of the last are written; what comes before is read. Without a
    prompt the text begins with the token that begins a text, or ends one where there is no such token.
    """
    if not isinstance(completion, str):
        messages = [*(prompt or ()), *completion]
        prompt, completion = messages[:-1], messages[-1]["content"]
    ids = model.encode(prompt) if prompt else []
    if not ids:
        ids = [model.tokenizer.eos_id if model.tokenizer.bos_id is None else model.tokenizer.bos_id]
    return ids, [*model.tokenizer.encode(completion), model.end_id(prompt)]


def draw_examples(env: Any, count: int, key: Key) -> list[Example]:
    """``count`` training problems of the task."""
    return env.examples("train", count, int(generator(key).integers(2**31)))


def experience(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    key: Key,
    *,
    max_tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008
    group: int = 1,
    stop: Sequence[str] = (),
) -> tuple[Trajectory, list[str]]:
    """``group`` completions of every prompt, as a trajectory and as texts; rows beside each other share a prompt."""
    tokenizer = model.tokenizer
    finished = (lambda ids: any(s in tokenizer.decode(ids) for s in stop)) if stop else None
    trajectory = generate(
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
    trajectory = trim(trajectory)
    return trajectory, [model.decode(ids) for ids in completions(trajectory)]


def rewarded(trajectory: Trajectory, rewards: Sequence[float]) -> Trajectory:
    """The trajectory with row b's reward at its last token. Raises PuzzleboxError for a reward that is not a number."""
    values = np.asarray(rewards, np.float32)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise PuzzleboxError(f"the reward of completion {row + 1} is {values[row]}; a reward must be a finite number")
    ended = trajectory.terminated | trajectory.truncated
    return trajectory._replace(reward=jnp.where(ended, jnp.asarray(values)[:, None], 0.0))


def rewards(env: Any, examples: Sequence[Example], texts: Sequence[str], group: int = 1) -> list[float]:
    """The task's reward of every text; ``group`` texts beside each other answer the same example."""
    asked = [examples[i // group] for i in range(len(texts))]
    if callable(getattr(env, "rewards", None)):  # rows of a file, whose reward function takes them all at once
        return env.rewards(asked, texts)
    return [env.reward(example, text) for example, text in zip(asked, texts, strict=True)]


def writing_metrics(trajectory: Trajectory) -> Metrics:
    """What was written: rewards, lengths in tokens, and the share that did not come to an end."""
    reward = np.asarray(trajectory.reward).sum(axis=1)
    return {
        "reward": reward.mean(),
        "reward_std": reward.std(),
        "completions/mean_length": np.asarray(trajectory.mask).sum(axis=1).mean(),
        "completions/cut_off": np.asarray(trajectory.truncated).any(axis=1).mean(),
    }


def gradient_step(
    loss: Callable[..., tuple[Array, Metrics]],
    transform: optax.GradientTransformation,
    params: Any,
    optimiser: optax.OptState,
    *arguments: Any,
) -> tuple[Any, optax.OptState, Metrics]:
    """One update of ``params`` by ``loss(params, *arguments) -> (loss, metrics)``; also reports the gradient's norm."""
    gradient, metrics = jax.grad(loss, has_aux=True)(params, *arguments)
    updates, optimiser = transform.update(gradient, optimiser, params)
    norm = optax.tree.norm(gradient)
    return optax.apply_updates(params, updates), optimiser, metrics | {"grad_norm": norm}


def gradient_steps(
    loss: Callable[..., tuple[Array, Metrics]],
    transform: optax.GradientTransformation,
    params: Any,
    optimiser: optax.OptState,
    batch: tuple[Any, ...],
    key: Key,
    num_epochs: int,
    num_minibatches: int,
    group: int = 1,
) -> tuple[Any, optax.OptState, Metrics]:
    """Epochs of minibatches of ``batch``, each pass in a new order; metrics are means over all steps.

    The leaves of ``batch`` are ``[B, ...]``, of which ``group`` beside each other stay together;
    ``loss(params, *minibatch) -> (loss, metrics)``.
    """
    count = len(jax.tree.leaves(batch)[0]) // group

    def one(carry: tuple[Any, optax.OptState], chosen: Array) -> tuple[tuple[Any, optax.OptState], Metrics]:
        minibatch = jax.tree.map(lambda x: x[chosen], batch)
        params, optimiser, metrics = gradient_step(loss, transform, *carry, *minibatch)
        return (params, optimiser), metrics

    orders = jax.vmap(lambda k: jax.random.permutation(k, count))(jax.random.split(key, num_epochs))
    rows = orders[..., None] * group + jnp.arange(group)
    indices = rows.reshape(num_epochs * num_minibatches, -1)
    (params, optimiser), metrics = jax.lax.scan(one, (params, optimiser), indices)
    return params, optimiser, jax.tree.map(jnp.mean, metrics)
