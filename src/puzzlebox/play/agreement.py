"""How often a player finds an optimal move in a fixed set of positions: for Connect 4, judged by its solver.

Games against opponents show who wins; this shows how far from perfect the play still is, by phase of the game.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games import connect_four_positions
from puzzlebox.envs.games.connect_four import ConnectFour
from puzzlebox.play.players import Player
from puzzlebox.types import Game, Key

BATCH = 200  # positions searched at once


def agreement(player: Player, game: Game, key: Key) -> dict[str, Any]:
    """Shares of the player's moves that keep the best possible result (``optimal``), over all positions and by phase.

    ``best`` is the share that also wins as soon or loses as late as possible. {} for a game without fixed positions.
    """
    if not isinstance(game, ConnectFour):
        return {}
    held = connect_four_positions.load()
    # ask the player, a batch at a time
    show = jax.jit(jax.vmap(lambda state: game.position(state, jnp.zeros(2))))
    actions = []
    for first in range(0, len(held.moves), BATCH):
        states = jax.tree.map(lambda x, first=first: x[first : first + BATCH], held.states)
        actions.append(player.choose(states, show(states), jax.random.fold_in(key, first)).action)
    # compare with the solver
    row = np.arange(len(held.moves)), np.concatenate(actions)
    optimal, best = held.solution.optimal[row], held.solution.best[row]
    phases = {phase: float(optimal[held.phase == phase].mean()) for phase in connect_four_positions.PHASES}
    return {"positions": len(held.moves), "optimal": float(optimal.mean()), "best": float(best.mean())} | phases


def mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The shares of several agents, averaged."""
    return {name: float(np.mean([row[name] for row in rows])) for name in (rows[0] if rows else {})}


def words(shares: dict[str, Any]) -> str:
    """The shares for a person."""
    phases = ", ".join(f"{phase} {shares[phase]:.1%}" for phase in connect_four_positions.PHASES)
    return f"optimal moves in held positions: {shares['optimal']:.1%} ({phases})"
