"""Networks of action values, with those choices of Rainbow (Hessel et al. 2018) that are the network's own.

``dueling`` (Wang et al. 2016), ``num_atoms`` above 1 for distributions over returns (Bellemare et al. 2017), noisy
layers with factorised noise (Fortunato et al. 2018, arXiv 1706.10295).

Departure: value and advantages share all layers but the last.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium import spaces

from puzzlebox.nets.conv import Torso, is_picture
from puzzlebox.nets.heads import num_features
from puzzlebox.nets.mlp import MLP
from puzzlebox.ops.categorical_values import atoms
from puzzlebox.types import Array, Key


class QNetwork(eqx.Module):
    """Features ``[..., F]``, or pictures ``[..., H, W, C]`` for a ``torso`` -> action values ``[..., U]``.

    ``dueling``: Q = V + A − mean A from one network with U + 1 outputs (Wang et al. 2016, eq. 9). With ``num_atoms`` N
    above 1 every output is N logits, of the probabilities of N returns from −limit to limit, and Q is their mean.
    ``noise`` is σ₀ of noisy layers, 0 for none; ``deviation`` has σ of every weight and bias of ``net``, None without.
    """

    net: MLP
    torso: Torso | None
    deviation: MLP | None
    dueling: bool = eqx.field(static=True)
    num_atoms: int = eqx.field(static=True)
    limit: float = eqx.field(static=True)

    def __init__(
        self,
        space: spaces.Space,
        hidden: tuple[int, ...],
        actions: int,
        *,
        key: Key,
        dueling: bool = False,
        num_atoms: int = 1,
        limit: float = 1.0,
        noise: float = 0.0,
    ):
        self.torso = None
        inputs = num_features(space)
        if is_picture(space):
            torso_key, key = jax.random.split(key)
            self.torso = Torso(space, (), key=torso_key, initial="uniform")
            inputs = self.torso.features
        self.net = MLP(inputs, hidden, (actions + dueling) * num_atoms, key=key, activation="relu", initial="uniform")
        self.deviation = _deviation(self.net, noise) if noise else None
        self.dueling, self.num_atoms, self.limit = dueling, num_atoms, limit

    def __call__(self, x: Array) -> Array:
        if self.num_atoms == 1:
            return self._outputs(x)[..., 0]
        return self.means(self.log_probs(x))

    def log_probs(self, x: Array) -> Array:
        """log p of each action's N returns, ``[..., U, N]``."""
        return jax.nn.log_softmax(self._outputs(x))

    def means(self, log_probs: Array) -> Array:
        """Q = Σ p_i z_i, the mean returns: log p ``[..., N]`` -> ``[...]``."""
        return jnp.exp(log_probs) @ atoms(self.limit, self.num_atoms)

    def with_noise(self, key: Key) -> QNetwork:
        """One draw of the noise: w = μ + σ f(ε_in) f(ε_out)ᵀ, b = μ + σ f(ε_out) with f(x) = sign(x) √|x|.

        A network without noise is returned as it is. A noisy one that is called without a draw computes with μ.
        Source: section 3.1 (b).
        """
        if self.deviation is None:
            return self
        weights, biases = [], []
        layers = zip(self.net.weights, self.net.biases, self.deviation.weights, self.deviation.biases, strict=True)
        for k, (weight, bias, weight_deviation, bias_deviation) in zip(
            jax.random.split(key, len(self.net.weights)), layers, strict=True
        ):
            noise = jax.random.normal(k, (sum(weight.shape),))
            noise = jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))
            noise_in, noise_out = noise[: weight.shape[0]], noise[weight.shape[0] :]
            weights.append(weight + weight_deviation * jnp.outer(noise_in, noise_out))
            biases.append(bias + bias_deviation * noise_out)
        net = eqx.tree_at(lambda n: (n.weights, n.biases), self.net, (tuple(weights), tuple(biases)))
        return eqx.tree_at(lambda q: (q.net, q.deviation), self, (net, None), is_leaf=lambda x: x is None)

    def _outputs(self, x: Array) -> Array:
        """What the last layer gives for each action, ``[..., U, N]``: its value (N = 1), or logits."""
        if self.torso is not None:
            x = self.torso(x)
        out = self.net(x)
        out = out.reshape(*out.shape[:-1], -1, self.num_atoms)
        if not self.dueling:
            return out
        value, advantage = out[..., :1, :], out[..., 1:, :]
        return value + advantage - advantage.mean(axis=-2, keepdims=True)


def _deviation(net: MLP, noise: float) -> MLP:
    """σ = ``noise`` / √inputs everywhere. Source: section 3.2."""
    weights = tuple(jnp.full(w.shape, noise / math.sqrt(w.shape[0])) for w in net.weights)
    biases = tuple(
        jnp.full(b.shape, noise / math.sqrt(w.shape[0])) for w, b in zip(net.weights, net.biases, strict=True)
    )
    return eqx.tree_at(lambda n: (n.weights, n.biases), net, (weights, biases))
