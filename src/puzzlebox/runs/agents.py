"""Many agents as one program: seeds and swept hyper-parameters together form one `vmap` axis of ``A`` agents.

The axis is also sharded over the devices (the cores of a CPU count as devices, see `backend.prepare`). Agents never
communicate, so every device simply runs its share.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from puzzlebox.runs import memory
from puzzlebox.types import Advance, Algorithm, Array, Key, Policy, RemembersEpisodes, Simulated, State, Tell

AGENTS = PartitionSpec("agents")


def agents_mesh(num_agents: int) -> Mesh:
    """The devices that share ``num_agents`` agents: as many as divide them evenly (`shard_map` needs equal parts)."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if num_agents % n == 0)
    return Mesh(np.array(devices[:count]), ("agents",))


class Agents:
    """The compiled programs of one run; a `Trainee`.

    ``algorithm`` holds the values that all agents share; ``swept`` maps the name of a hyper-parameter to its ``[A]``
    values. ``replace(algorithm, **values)`` gives one agent its own values.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        seeds: list[int],
        swept: dict[str, np.ndarray],
        replace: Callable[..., Any] = dataclasses.replace,
    ):
        self.algorithm = algorithm
        self.replace = replace
        self.seeds = seeds
        self.swept = {name: jnp.asarray(values, jnp.float32) for name, values in swept.items()}
        self.num_agents = len(seeds)
        host = isinstance(algorithm.env, Simulated)  # a simulator serves one device
        self.mesh = agents_mesh(1 if host else self.num_agents)
        self.init = jax.jit(self._share(jax.vmap(lambda swept, key: self._agent(swept).init(key))))
        # The number of iterations is traced, so the loop compiles once and gives the same numbers however training is
        # cut into calls. That is why a resumed run continues bit for bit. The old state is donated: its buffers become
        # those of the new one, so do not use it after the call.
        advance = self._share(self._advance, in_specs=(AGENTS, AGENTS, PartitionSpec()))
        self.advance = jax.jit(advance, donate_argnums=1)

    def _share(self, program: Callable, in_specs: Any = AGENTS) -> Callable:
        """``program`` over leaves ``[A, ...]`` as one that every device runs on its share of the agents."""
        return jax.shard_map(program, mesh=self.mesh, in_specs=in_specs, out_specs=AGENTS, check_vma=False)

    @property
    def keys(self) -> Key:
        """One key per agent: agent i of a run is the agent that its seed alone would give."""
        return jax.vmap(jax.random.key)(jnp.asarray(self.seeds, jnp.uint32))

    asks_a_person = slow = False  # see `Trainee`

    def check(self) -> None:
        """Raises UsageError where what the agents hold while they train cannot fit into memory."""
        memory.check_state(self.shapes(), self.num_agents)

    def notes(self) -> list[str]:
        """Nothing to announce before training; part of `Trainee`."""
        return []

    def start(self) -> State:
        """The state of all agents before training, leaves ``[A, ...]``."""
        return self.init(self.swept, self.keys)

    def compile(self, state: State, tell: Tell | None = None) -> Advance:
        """`advance` as a compiled program; raises UsageError where it needs more memory than is available.

        ``tell`` hears nothing: worlds and small networks need little beyond what `check` has counted.
        """
        program = self.advance.lower(self.swept, state, np.int32(1)).compile()
        memory.fits(program, devices=self.mesh.size)
        return program

    def resumed(self, state: State, steps: int) -> tuple[State, str]:
        """The state from which training continues, and what was lost: "" where nothing was.

        A pure world is part of the state, so it continues as it was. The inner state of a simulator cannot be saved, so
        there all worlds begin new episodes.
        """
        if not isinstance(self.algorithm.env, Simulated):
            return state, ""
        fresh = self.init(self.swept, jax.vmap(lambda key: jax.random.fold_in(key, steps))(self.keys))
        unfinished = self.algorithm.episode_members if isinstance(self.algorithm, RemembersEpisodes) else ("worlds",)
        note = (
            "runs in a simulator whose inner state cannot be saved; it was started again: all worlds start new "
            f"episodes at step {steps}; networks, optimiser, replay and random numbers continue"
        )
        return state._replace(**{name: getattr(fresh, name) for name in unfinished}), note

    def shapes(self) -> State:
        """Shapes and types of the state, without computing it."""
        return jax.eval_shape(self.init, self.swept, self.keys)

    def policy(self, swept: dict[str, Array], state: State, greedy: bool) -> Policy:
        """The policy of one agent (to be mapped over agents)."""
        return self._agent(swept).policy(state, greedy)

    def env(self, swept: dict[str, Array]) -> Any:
        """The world of one agent (to be mapped over agents)."""
        return self._agent(swept).env

    def one(self, agent: int) -> Algorithm:
        """The algorithm of one agent, its swept values as numbers."""
        return self._agent({name: float(values[agent]) for name, values in self.swept.items()})  # type: ignore[misc]

    def _agent(self, swept: dict[str, Array]) -> Algorithm:
        """The algorithm with one agent's own values, numbers or traced scalars."""
        return self.replace(self.algorithm, **swept)

    def _step(self, swept: dict[str, Array], state: State):
        """One iteration of one agent (to be mapped over agents)."""
        return self._agent(swept).step(state)

    def _advance(self, swept: dict[str, Array], state: State, iterations: Array):
        """Runs ``iterations`` iterations of this device's agents; metrics ``[A]`` are means over the iterations.

        NaN means "not measured in this iteration" (no episode ended, say). Such iterations are left out of the mean; a
        metric that was never measured is 0 / 0, so it stays NaN.
        """
        step = functools.partial(jax.vmap(self._step), swept)
        shapes = jax.eval_shape(step, state)[1]
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, jnp.float32), shapes)

        def body(carry):
            i, state, total, count = carry
            state, metrics = step(state)
            total = jax.tree.map(lambda t, m: t + jnp.where(jnp.isnan(m), 0, m), total, metrics)
            count = jax.tree.map(lambda c, m: c + ~jnp.isnan(m), count, metrics)
            return i + 1, state, total, count

        carry = (jnp.int32(0), state, zeros, zeros)
        _, state, total, count = jax.lax.while_loop(lambda carry: carry[0] < iterations, body, carry)
        return state, jax.tree.map(jnp.divide, total, count)


def grid(seeds: list[int], sweep: dict[str, list[float]]) -> tuple[list[int], dict[str, np.ndarray]]:
    """Every combination of swept values with every seed: the agents' seeds and ``[A]`` values.

    Seeds vary fastest, so each run of ``len(seeds)`` neighbours shares one combination; `evaluation` relies on it.
    """
    rows: list[tuple] = list(itertools.product(*sweep.values(), seeds))
    return [row[-1] for row in rows], {name: np.array([row[i] for row in rows]) for i, name in enumerate(sweep)}
