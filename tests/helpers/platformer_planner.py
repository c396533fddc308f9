"""A player that plans: it spreads over all places and speeds that can be reached, and so finds out what is possible."""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.platformer import world

HOLD = 3  # decisions that an action is held
KEPT = 96  # states that are followed up in a round


class Found(NamedTuple):
    completed: bool
    furthest: float
    decisions: int


@jax.jit
def follow(level, states, actions):
    """States ``[N, ...]`` after `HOLD` decisions with each action, ``[N, U]``, and whether they reached the goal."""

    def play(state, action):
        def decide(carry, _):
            state, done = carry
            body, path = world._move(level, state.body, action)
            moved = world._meet(level, state, body, path)._replace(time=state.time + 1)
            state = jax.tree.map(lambda new, old: jnp.where(done, old, new), moved, state)
            return (state, done | (state.body.x >= level.goal) | (state.lives <= 0)), None

        (state, _), _ = jax.lax.scan(decide, (state, jnp.bool_(False)), None, length=HOLD)
        return state, (state.body.x >= level.goal) & (state.lives > 0)

    return jax.vmap(lambda state: jax.vmap(lambda action: play(state, action))(actions))(states)


def explore(env, actions=range(6), rounds=150):
    """Follows states as long as new places and speeds are found, the furthest ones first."""
    level = jax.tree.map(jnp.asarray, env.level())
    state, _ = env.reset(jax.random.key(0))
    states = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (KEPT, *np.shape(x))), state)
    seen, furthest = set(), float(state.body.x)
    for round in range(1, rounds + 1):
        children, won = jax.device_get(follow(level, states, jnp.asarray(list(actions), jnp.int32)))
        children = jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), children)
        furthest = max(furthest, float(children.body.x.max()))
        if won.any():
            return Found(True, furthest, round * HOLD)
        body = children.body
        cells = np.stack([body.x * 2, body.y, body.speed / 2, body.arc, body.grounded * 1.0, children.lives > 0], -1)
        new = []
        for i in np.argsort(-body.x, kind="stable"):
            cell = tuple(np.floor(cells[i]).astype(int))
            if children.lives[i] > 0 and cell not in seen:
                seen.add(cell)
                new.append(i)
        if not new:
            break
        chosen = (new + new[-1:] * KEPT)[:KEPT] if len(new) < KEPT else new[: KEPT // 2] + new[-KEPT // 2 :]
        states = jax.tree.map(operator.itemgetter(np.array(chosen)), children)
    return Found(False, furthest, round * HOLD)
