"""Films of the reward lab: one agent of every setting, all played in one compiled program and drawn afterwards."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.pictures.film import Film
from puzzlebox.runs.agents import Agents
from puzzlebox.types import State

QUICK_FRAMES = 120  # a short look is enough


def films(agents: Agents, state: State, chosen: dict[str, int], seed: int, quick: bool) -> dict[str, Film]:
    """Greedy episodes of the agents in ``chosen`` (name -> number), as films with that name."""
    numbers = np.array(list(chosen.values()))
    swept, own = jax.tree.map(lambda leaf: leaf[numbers], (agents.swept, state))
    played = jax.tree.map(np.asarray, episodes(agents, swept, own, jax.random.key(seed)))
    world = agents.algorithm.env
    return {
        name: draw(world, jax.tree.map(lambda leaf, i=i: leaf[i], played), name, QUICK_FRAMES if quick else 0)
        for i, name in enumerate(chosen)
    }


def episodes(agents: Agents, swept: dict[str, Any], state: State, key: Any) -> tuple[Any, Any, Any]:
    """World states ``[A, T + 1, ...]``, rewards ``[A, T]`` and whether the episode had ended before ``[A, T]``."""

    def one(swept: dict[str, Any], state: State) -> tuple[Any, Any, Any]:
        env, policy = agents.env(swept), agents.policy(swept, state, greedy=True)
        start, observation = env.reset(key)

        def step(carry: Any, key: Any) -> tuple[Any, Any]:
            world, observation, over = carry
            following, timestep = env.step(world, policy(observation, key), key)
            done = over | timestep.terminated | timestep.truncated
            return (following, timestep.observation, done), (following, timestep.reward, over)

        _, (states, reward, over) = jax.lax.scan(
            step, (start, observation, jnp.bool_(False)), jax.random.split(key, env.time_limit)
        )
        states = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, states)
        return states, reward, over

    return jax.jit(jax.vmap(one))(swept, state)


def draw(world: Any, played: tuple[Any, Any, Any], title: str, most: int) -> Film:
    """The film of one agent; ``most`` frames at most, 0 for all."""
    states, reward, over = played
    length = int((~over).sum())
    shown = min(length, most or length)
    film = Film(world.frames_per_second, title)
    for t in range(shown + 1):
        last = t == shown
        if film.wants(last):
            state = jax.tree.map(lambda leaf, t=t: leaf[t], states)
            caption = f"{t / world.frames_per_second:.1f} s · paid {reward[:t].sum().round(1) + 0.0:.1f}"
            film.add(world.render(state), caption, last=last)
        film.tick()
    return film
