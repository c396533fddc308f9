"""Action distributions: what a policy head means.

Each is a small module of arrays with ``sample(key)``, ``log_prob(action)``, ``entropy()``, ``mode()`` and
``kl(other)``; leading axes are a batch. Source of the squashed Gaussian: Haarnoja et al. 2018 (SAC), appendix C.

Departures: `Categorical` samples by inverting the distribution function (a uniform number or two per row), because
drawing a Gumbel number per action costs up to twenty times as much on a CPU. Above 32 actions it inverts twice, first
for a block of about √U actions, then within the block; what all together has a chance below 1e-7 may never come.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from puzzlebox.types import Array, Key

UNROLLED = 32  # actions; beyond it a sum that is written out takes long to compile
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Categorical(eqx.Module):
    """One of U actions: p = softmax(logits).

    ``logits [..., U]``; ``mask [..., U]``, True where the action is legal. An illegal action has probability exactly 0
    and a very negative but finite log-probability, so that losses and gradients stay finite. A row without any legal
    action (padding) is uniform over all. Half-precision logits are computed in float32.
    """

    log_probs: Array

    def __init__(self, logits: Array, mask: Array | None = None):
        logits = jnp.asarray(logits)
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        if mask is not None:
            logits = jnp.where(mask, logits, jnp.finfo(logits.dtype).min / 4)
        self.log_probs = jax.nn.log_softmax(logits)

    @property
    def probs(self) -> Array:
        """The probabilities, ``[..., U]``."""
        return jnp.exp(self.log_probs)

    def sample(self, key: Key) -> Array:
        """An action, int32 ``[...]``; an illegal one never comes."""
        num_actions = self.log_probs.shape[-1]
        probs = self.probs
        if num_actions > UNROLLED:
            return _sample_by_blocks(probs, key)
        cumulative = [probs[..., 0]]
        for u in range(1, num_actions):  # in this order an action of probability 0 adds exactly nothing
            cumulative.append(cumulative[-1] + probs[..., u])
        threshold = jax.random.uniform(key, probs.shape[:-1], probs.dtype) * cumulative[-1]
        action = jnp.zeros(threshold.shape, jnp.int32)
        for bound in cumulative[:-1]:
            action += bound <= threshold
        return action

    def log_prob(self, action: Array) -> Array:
        """log p(action), ``[...]``."""
        return jnp.take_along_axis(self.log_probs, jnp.asarray(action)[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        """H = −Σ p log p in nats, ``[...]``."""
        return -jnp.sum(self.probs * self.log_probs, axis=-1)

    def mode(self) -> Array:
        """The likeliest action, int32 ``[...]``; the first of equals."""
        return jnp.argmax(self.log_probs, axis=-1).astype(jnp.int32)

    def kl(self, other: Categorical) -> Array:
        """KL(self ‖ other) = Σ p (log p − log q) in nats, ``[...]``."""
        return jnp.sum(self.probs * (self.log_probs - other.log_probs), axis=-1)


def _sample_by_blocks(probs: Array, key: Key) -> Array:
    """An index per row of ``probs [..., U]``: first its block of about √U, then its place in the block."""
    num_actions = probs.shape[-1]
    size = math.isqrt(num_actions - 1) + 1
    probs = jnp.pad(probs, [(0, 0)] * (probs.ndim - 1) + [(0, size * size - num_actions)])
    blocks = probs.reshape(*probs.shape[:-1], size, size)
    uniform = jax.random.uniform(key, (2, *probs.shape[:-1]), probs.dtype)
    block = invert(blocks.sum(axis=-1), uniform[0])
    place = invert(jnp.take_along_axis(blocks, block[..., None, None], axis=-2)[..., 0, :], uniform[1])
    return block * size + place


def invert(weights: Array, uniform: Array) -> Array:
    """The first index at which the running sum of ``weights [..., N]`` exceeds the share ``uniform`` of the whole."""
    cumulative = jnp.cumsum(weights, axis=-1)
    total = cumulative[..., -1]
    threshold = jnp.minimum(uniform * total, jnp.nextafter(total, jnp.zeros_like(total)))  # it may round up to total
    return jnp.sum(cumulative <= threshold[..., None], axis=-1, dtype=jnp.int32)


class Gaussian(eqx.Module):
    """A diagonal normal distribution over vectors; ``log_std`` is broadcast to ``mean [..., D]``."""

    mean: Array
    log_std: Array

    def __init__(self, mean: Array, log_std: ArrayLike):
        self.mean = jnp.asarray(mean)
        self.log_std = jnp.broadcast_to(jnp.asarray(log_std, self.mean.dtype), self.mean.shape)

    def sample(self, key: Key) -> Array:
        """An action ``[..., D]``, mean + std · noise, so that gradients reach mean and std."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, action: Array) -> Array:
        """log p(action) = −Σ (((a − mean) / std)² / 2 + log std + log √2π), ``[...]``."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return -jnp.sum(0.5 * jnp.square(z) + self.log_std + HALF_LOG_TWO_PI, axis=-1)

    def entropy(self) -> Array:
        """H = Σ (log std + log √(2πe)) in nats, ``[...]``."""
        return jnp.sum(self.log_std + HALF_LOG_TWO_PI + 0.5, axis=-1)

    def mode(self) -> Array:
        """The mean."""
        return self.mean

    def kl(self, other: Gaussian) -> Array:
        """KL(self ‖ other) = Σ (log σ₂/σ₁ + (σ₁² + (μ₁ − μ₂)²) / 2σ₂² − ½) in nats, ``[...]``."""
        log_ratio = self.log_std - other.log_std
        distance = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return 0.5 * jnp.sum(jnp.expm1(2.0 * log_ratio) - 2.0 * log_ratio + jnp.square(distance), axis=-1)


class TanhGaussian(eqx.Module):
    """A `Gaussian` squashed into the box [low, high]: a = low + (high − low) (tanh x + 1) / 2 with x normal.

    ``mean``, ``log_std``: of x, ``[..., D]``; ``low``, ``high``: numbers or ``[D]``, finite. log(1 − tanh² x) is
    computed as 2 (log 2 − x − softplus(−2x)), which is exact where 1 − tanh² x would round to 0.
    """

    base: Gaussian
    low: Array
    high: Array

    def __init__(self, mean: Array, log_std: ArrayLike, low: ArrayLike = -1.0, high: ArrayLike = 1.0):
        self.base = Gaussian(mean, log_std)
        self.low = jnp.asarray(low, self.base.mean.dtype)
        self.high = jnp.asarray(high, self.base.mean.dtype)

    def sample(self, key: Key) -> Array:
        """An action ``[..., D]``; gradients reach mean and std."""
        return self._squash(self.base.sample(key))

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """An action ``[..., D]`` and its log-density ``[...]``, exact also where the action rounds to a bound."""
        x = self.base.sample(key)
        return self._squash(x), self.base.log_prob(x) - jnp.sum(self._log_slope(x), axis=-1)

    def log_prob(self, action: Array) -> Array:
        """log p(action), ``[...]``; an action on a bound counts as one a rounding error inside it."""
        unit = 2.0 * (action - self.low) / (self.high - self.low) - 1.0
        inside = 1.0 - float(jnp.finfo(self.base.mean.dtype).eps)
        x = jnp.arctanh(jnp.clip(unit, -inside, inside))
        return self.base.log_prob(x) - jnp.sum(self._log_slope(x), axis=-1)

    def entropy(self) -> Array:
        """H = H(x) + E[log da/dx] in nats, ``[...]``; the expectation by 32-point Gauss–Hermite quadrature per axis.

        There is no closed form. The error is below 1e-3 nats per axis for std up to 3.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(32)
        x = self.base.mean[..., None] + jnp.exp(self.base.log_std)[..., None] * nodes.astype(np.float32)
        slope = self._log_slope(jnp.moveaxis(x, -1, 0))
        expected = jnp.tensordot((weights / weights.sum()).astype(np.float32), slope, axes=1)
        return self.base.entropy() + jnp.sum(expected, axis=-1)

    def mode(self) -> Array:
        """The squashed mean: the median of every axis, which the field calls the mode of this distribution."""
        return self._squash(self.base.mean)

    def kl(self, other: TanhGaussian) -> Array:
        """KL(self ‖ other) in nats, ``[...]``, for equal bounds: squashing both alike does not change it."""
        return self.base.kl(other.base)

    def _squash(self, x: Array) -> Array:
        return jnp.clip(self.low + (self.high - self.low) * 0.5 * (jnp.tanh(x) + 1.0), self.low, self.high)

    def _log_slope(self, x: Array) -> Array:
        """log da/dx per axis."""
        squashing = 2.0 * (math.log(2.0) - x - jax.nn.softplus(-2.0 * x))
        return squashing + jnp.log(0.5 * (self.high - self.low))
