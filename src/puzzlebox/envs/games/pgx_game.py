"""Games of Pgx (Koyamada et al. 2023) as `Game`: two players in turn who see everything, without chance.

In Pgx it is drawn at random which player begins; here player 0 is always the one who moves first. Pgx's trained models,
which would have to be downloaded, are not used.
"""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games import pgx_text, symmetry
from puzzlebox.errors import UsageError, unknown
from puzzlebox.types import Array, Key, Position, Symmetries

GAMES = {
    "animal_shogi": "shogi on 3×4 squares",
    "chess": "chess",
    "connect_four": "Connect 4 (our own: connect_four)",
    "gardner_chess": "chess on 5×5 squares",
    "go_9x9": "Go, area scoring, komi 7.5",
    "go_19x19": "Go, area scoring, komi 7.5",
    "hex": "Hex on 11×11 cells, with the swap rule",
    "othello": "Othello",
    "shogi": "shogi",
    "tic_tac_toe": "tic-tac-toe (our own: tic_tac_toe)",
}
OTHERS = {
    "2048": "has one player and chance",
    "backgammon": "has dice",
    "bridge_bidding": "hides cards",
    "kuhn_poker": "hides cards",
    "leduc_holdem": "hides cards",
    "minatar-asterix": "has one player and chance (as a world: minatar:asterix)",
    "minatar-breakout": "has one player and chance (as a world: minatar:breakout)",
    "minatar-freeway": "has one player and chance (as a world: minatar:freeway)",
    "minatar-seaquest": "has one player and chance (as a world: minatar:seaquest)",
    "minatar-space_invaders": "has one player and chance (as a world: minatar:space_invaders)",
    "sparrow_mahjong": "hides tiles",
}
TURNS: dict[str, tuple[symmetry.Turn, ...]] = {
    "tic_tac_toe": symmetry.SQUARE,
    "go_9x9": symmetry.SQUARE,
    "go_19x19": symmetry.SQUARE,
    "hex": (symmetry.identity, symmetry.half_turn),
    # the other four turns of a square exchange the colours of Othello's first four stones
    "othello": (symmetry.identity, symmetry.half_turn, symmetry.transpose, symmetry.anti_transpose),
}


def make_pgx(name: str) -> PgxGame:
    """The game behind ``pgx:NAME``; raises UsageError for a name that Pgx does not have, or a game of another kind."""
    if name in OTHERS:
        raise UsageError(f"pgx:{name} {OTHERS[name]}, which search does not plan for; there are: {', '.join(GAMES)}")
    if name not in GAMES:
        raise unknown("Pgx game", name, GAMES)
    return PgxGame(name)


class PgxState(NamedTuple):
    pgx: Any
    first: Array  # int32 [], Pgx's number of the player who moves first


class PgxGame(eqx.Module):
    """Observation: Pgx's planes, int8 or float32. Reward: 1 to the winner, −1 to the loser, 0 for a draw."""

    name: str = eqx.field(static=True)
    num_players = 2

    def __check_init__(self):
        _rules(self.name)  # its modules make arrays when they are imported, which must not happen while tracing

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return _spaces(self.name)[0]

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return _spaces(self.name)[1]

    def reset(self, key: Key) -> tuple[PgxState, Position]:
        pgx = _rules(self.name).init(key)
        state = PgxState(pgx, pgx.current_player.astype(jnp.int32))
        return state, self.position(state)

    def step(self, state: PgxState, action: Array, key: Key) -> tuple[PgxState, Position]:
        after = state._replace(pgx=_rules(self.name).step(state.pgx, action, key))
        return after, self.position(after)

    def position(self, state: PgxState) -> Position:
        """What ``state`` shows."""
        pgx = state.pgx
        player = jnp.where(pgx.current_player == state.first, 0, 1)
        reward = jnp.stack([pgx.rewards[state.first], pgx.rewards[1 - state.first]])
        return Position(
            pgx.observation.astype(self.observation_space.dtype),
            pgx.legal_action_mask,
            player.astype(jnp.int32),
            reward.astype(jnp.float32),
            pgx.terminated | pgx.truncated,
        )

    def symmetries(self) -> Symmetries:
        """The symmetries of the board, as far as they are known here; else only the board as it is."""
        shape = self.observation_space.shape
        if self.name == "connect_four":
            from puzzlebox.envs.games.connect_four import ConnectFour

            return ConnectFour().symmetries()
        if self.name not in TURNS:
            return symmetry.none(shape, int(self.action_space.n))
        return symmetry.cell_moves(TURNS[self.name], shape, others=int(self.action_space.n) - shape[0] * shape[1])

    def show(self, state: PgxState) -> str:
        """The board with its coordinates."""
        return pgx_text.show(self.name, state.pgx, self._to_move(state))

    def move_name(self, state: PgxState, action: int) -> str:
        """What people call a legal move, such as e2e4; see `pgx_text`."""
        return pgx_text.move_name(self.name, state.pgx, self._to_move(state), int(action))

    def parse_move(self, state: PgxState, text: str) -> int:
        """The legal move of this name; raises UsageError with the nearest names.

        It is looked up among the legal moves, since most of Pgx's numbers mean something in few positions only.
        """
        legal = np.flatnonzero(state.pgx.legal_action_mask).tolist()
        names = {self.move_name(state, action): action for action in legal}
        if text.strip() not in names:
            near = difflib.get_close_matches(text, names, n=8, cutoff=0.0)
            raise UsageError(f"'{text}' is no legal move here; legal are {len(names)}, the nearest: {', '.join(near)}")
        return names[text.strip()]

    def from_text(self, text: str) -> tuple[PgxState, Position]:
        """The position of a FEN, in chess and Gardner chess. Raises UsageError for one that cannot be read."""
        pgx = pgx_text.read_fen(self.name, text)
        white_moves = text.split()[1] == "w"
        first = pgx.current_player if white_moves else 1 - pgx.current_player
        state = PgxState(pgx, first.astype(jnp.int32))
        return state, self.position(state)

    def _to_move(self, state: PgxState) -> int:
        """Who moves next, 0 or 1."""
        return int(state.pgx.current_player != state.first)


@cache
def _rules(name: str) -> Any:
    import pgx

    return pgx.make(name)


@cache
def _spaces(name: str) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Discrete]:
    state = jax.eval_shape(_rules(name).init, jax.random.key(0))
    dtype = np.float32 if state.observation.dtype == np.float32 else np.int8
    moves = int(state.legal_action_mask.shape[0])
    return gymnasium.spaces.Box(0, 1, state.observation.shape, dtype), gymnasium.spaces.Discrete(moves)
