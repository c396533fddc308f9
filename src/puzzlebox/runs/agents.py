"""Many agents as one program: seeds and swept hyper-parameters are one `vmap` axis of ``A`` agents.

The axis is also cut over the devices (the cores of a CPU count as devices, see `backend.prepare`): agents never talk to
each other, so every device simply runs its share.
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
    """The devices that share ``num_agents`` agents: as many as divide them evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if num_agents % n == 0)
    return Mesh(np.array(devices[:count]), ("agents",))


class Agents:
    """The compiled programs of one run; a `Trainee`.

    ``algorithm`` is the agent with the values all share; ``swept`` maps a hyper-parameter's name to its ``[A]`` values.
    ``replace(algorithm, **values)`` gives one agent its own values.
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
        # A loop with a traced number of iterations compiles once and gives the same numbers however training is cut
        # into calls: that is what makes a resumed run continue bit for bit.
        advance = self._share(self._advance, in_specs=(AGENTS, AGENTS, PartitionSpec()))
        self.advance = jax.jit(advance, donate_argnums=1)

    def _share(self, program: Callable, in_specs: Any = AGENTS) -> Callable:
        return jax.shard_map(program, mesh=self.mesh, in_specs=in_specs, out_specs=AGENTS, check_vma=False)

    @property
    def keys(self) -> Key:
        """One key per agent: agent i of a run is the agent that its seed alone would give."""
        return jax.vmap(jax.random.key)(jnp.asarray(self.seeds, jnp.uint32))

    asks_a_person = slow = False

    def check(self) -> None:
        """Raises UsageError where what the agents hold while they train cannot fit into memory."""
        memory.check_state(self.shapes(), self.num_agents)

    def notes(self) -> list[str]:
        return []

    def start(self) -> State:
        """The state of all agents before training, leaves ``[A, ...]``."""
        return self.init(self.swept, self.keys)

    def compile(self, state: State, tell: Tell | None = None) -> Advance:
        """`advance` as a compiled program; raises UsageError where it needs more memory than there is.

        Nobody is told how much it needs: worlds and small networks take little beside what `check` counts.
        """
        program = self.advance.lower(self.swept, state, np.int32(1)).compile()
        memory.fits(program, devices=self.mesh.size)
        return program

    def resumed(self, state: State, steps: int) -> tuple[State, str]:
        """``state`` as training goes on with it: all worlds begin new episodes where they were in a simulator."""
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
        return self.replace(self.algorithm, **swept)

    def _step(self, swept: dict[str, Array], state: State):
        return self._agent(swept).step(state)

    def _advance(self, swept: dict[str, Array], state: State, iterations: Array):
        """``iterations`` iterations of all agents; metrics ``[A]`` are means over them, NaN if never measured."""
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
    """Every combination of swept values with every seed, values outermost: the agents' seeds and ``[A]`` values."""
    rows: list[tuple] = list(itertools.product(*sweep.values(), seeds))
    return [row[-1] for row in rows], {name: np.array([row[i] for row in rows]) for i, name in enumerate(sweep)}
