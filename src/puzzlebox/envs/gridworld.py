"""Worlds drawn as text: walls, holes, goals, slippery floor. Every rule is a number that can be changed.

Map characters: ``#`` wall, ``.`` floor, ``S`` start, ``G`` goal, ``H`` hole. The state is the cell,
``row * columns + column``, walls included, so that values reshape into a picture. Actions: 0 north, 1 east, 2 south,
3 west.

Rewards are paid for the cell a move ends in: a goal pays ``goal_reward`` and a hole ``hole_reward`` *instead of*
``step_reward``, every other move (bumping into a wall or the edge leaves the robot where it is) pays ``step_reward``.
Goal and hole end the episode. With probability ``slip`` a move turns to one of the two perpendicular directions, half
of the time to each.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.fields import param
from puzzlebox.types import MDP, Array, Key, Layout, Timestep

CHARACTERS = {"#": "wall", ".": "floor", "S": "start", "G": "goal", "H": "hole"}
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
TURNS = (0, 1, 3)  # straight on, right, left


class GridState(NamedTuple):
    cell: Array  # int32 []
    time: Array  # int32 [], steps


class GridWorld(eqx.Module):
    """One grid. ``rows`` is the map, a string per row; make it with `from_text`, which checks the map."""

    rows: tuple[str, ...] = eqx.field(static=True)
    step_reward: float = param(-1.0, "reward of a move that ends on floor")
    goal_reward: float = param(1.0, "reward of the move that enters a goal, instead of step_reward")
    hole_reward: float = param(-1.0, "reward of the move that enters a hole, instead of step_reward")
    slip: float = param(0.0, "probability that a move turns sideways, half to each side", low=0.0, high=1.0)
    time_limit: int = param(0, "steps after which an episode is cut off (0 = never)", low=0)
    random_start: bool = param(False, "start anywhere on free floor, even where the map has an S")

    @property
    def observation_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(len(self.rows) * len(self.rows[0]))

    @property
    def action_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(4)

    @property
    def random_step(self) -> bool:
        """Whether a step draws at random; False where nothing slips."""
        return not (isinstance(self.slip, int | float) and self.slip == 0)

    @property
    def layout(self) -> Layout:
        """Where each state lies and where each action points, for pictures."""
        return Layout(self.rows, "NESW")

    def reset(self, key: Key) -> tuple[GridState, Array]:
        starts = jnp.asarray(self._starts(), jnp.int32)
        cell = starts[jax.random.randint(key, (), 0, len(starts))] if len(starts) > 1 else starts[0]
        return GridState(cell, jnp.zeros((), jnp.int32)), cell

    def step(self, state: GridState, action: Array, key: Key) -> tuple[GridState, Timestep]:
        if self.random_step:
            chance = jax.random.uniform(key)
            turn = jnp.where(chance < self.slip, jnp.where(chance < self.slip / 2, TURNS[1], TURNS[2]), TURNS[0])
            action = (action + turn) % 4
        cell = jnp.asarray(self._neighbours())[state.cell, action]
        kind = jnp.asarray(self._kinds())[cell]  # 0 ordinary, 1 goal, 2 hole
        terminated = kind > 0
        reward = jnp.asarray([self.step_reward, self.goal_reward, self.hole_reward], jnp.float32)[kind]
        time = state.time + 1
        truncated = ~terminated & (time >= self.time_limit) & (self.time_limit > 0)
        return GridState(cell, time), Timestep(cell, reward, terminated, truncated)

    def mdp(self) -> MDP:
        """The exact process, float64 numpy arrays; S is rows × columns, U 4, K 3 where moves can slip, else 1.

        Goals, holes and walls, from which nobody moves, end at once with reward 0, so that their value is 0.
        """
        neighbours, kinds = self._neighbours(), self._kinds()
        turns = TURNS if self.slip > 0 else TURNS[:1]
        straight_left_right = np.array([1 - self.slip, self.slip / 2, self.slip / 2])[: len(turns)]
        next_state = np.stack([np.roll(neighbours, -turn, axis=1) for turn in turns], axis=-1)
        reward = np.array([self.step_reward, self.goal_reward, self.hole_reward], np.float64)[kinds][next_state]
        terminated = (kinds > 0)[next_state]
        nobody_moves = (kinds > 0) | self._is("#")
        reward[nobody_moves], terminated[nobody_moves] = 0.0, True
        probability = np.broadcast_to(straight_left_right, next_state.shape)
        start = np.zeros(len(kinds))
        starts = self._starts()
        start[starts] = 1 / len(starts)
        return MDP(next_state, probability, reward, terminated, start)

    def _is(self, characters: str) -> np.ndarray:
        """Which cells are drawn with one of these characters, bool [S]."""
        cells = np.frombuffer("".join(self.rows).encode("ascii"), np.uint8)
        return np.isin(cells, [ord(character) for character in characters])

    def _kinds(self) -> np.ndarray:
        """0 ordinary, 1 goal, 2 hole; [S]."""
        return (self._is("G") + 2 * self._is("H")).astype(np.int32)

    def _starts(self) -> np.ndarray:
        """The cells an episode can start from, all with the same probability."""
        marked = np.flatnonzero(self._is("S"))
        return np.flatnonzero(self._is(".S")) if self.random_start or not len(marked) else marked

    def _neighbours(self) -> np.ndarray:
        """The cell each move leads to, int32 [S, 4]; walls, the edge, and a move that ended keep the robot in place."""
        height, width = len(self.rows), len(self.rows[0])
        here = np.arange(height * width, dtype=np.int32).reshape(height, width)
        wall = self._is("#").reshape(height, width)
        moved = []
        for down, right in MOVES:
            row = np.clip(np.arange(height) + down, 0, height - 1)[:, None]
            column = np.clip(np.arange(width) + right, 0, width - 1)[None, :]
            moved.append(np.where(wall[row, column] | wall, here, here[row, column]))
        neighbours = np.stack(moved, axis=-1).reshape(-1, 4)
        ended = self._is("GH")
        neighbours[ended] = here.reshape(-1)[ended, None]
        return neighbours


def read_rows(text: str, source: str = "map") -> tuple[str, ...]:
    """The rows of a map, checked; spaces at line ends and empty lines around it are dropped.

    Raises UsageError that names line, column and character of what is wrong.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    numbered = [(number, line) for number, line in enumerate(lines, 1)]
    while numbered and not numbered[0][1]:
        numbered.pop(0)
    while numbered and not numbered[-1][1]:
        numbered.pop()
    if not numbered:
        raise UsageError(f"{source} is empty; draw it with {' '.join(CHARACTERS)}, one line per row")
    width = len(numbered[0][1])
    for number, line in numbered:
        for column, character in enumerate(line, 1):
            if character not in CHARACTERS:
                known = ", ".join(f"{symbol} {meaning}" for symbol, meaning in CHARACTERS.items())
                raise UsageError(f"{source} line {number}, column {column}: '{character}' is not one of {known}")
        if len(line) != width:
            raise UsageError(f"{source} line {number} has {len(line)} cells; the first row has {width}")
    rows = tuple(line for _, line in numbered)
    cells = "".join(rows)
    if "G" not in cells:
        raise UsageError(f"{source} has no goal; mark one cell with G")
    if not set(cells) & set(".S"):
        raise UsageError(f"{source} has no free cell to start from; mark floor with . or a start with S")
    return rows


def from_text(text: str, source: str = "map") -> GridWorld:
    """The grid drawn in ``text``, with the default rewards. Raises UsageError for a malformed map."""
    return GridWorld(read_rows(text, source))


def from_file(path: Path) -> GridWorld:
    """The grid drawn in a text file, with the default rewards. Raises UsageError for a missing or malformed map."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(f"cannot read the map '{path}': {reason}") from None
    return from_text(text, f"map {path}")


def robot() -> GridWorld:
    """The lecture's robot: 5×5, random start, goal +100, hole −50, every other step −1."""
    rows = read_rows("....G\n.##H.\n.....\n.#.#.\n.....")
    return GridWorld(rows, step_reward=-1.0, goal_reward=100.0, hole_reward=-50.0, time_limit=100)


def toy() -> GridWorld:
    """The 4×3 grid of Russell & Norvig: +1 and −1 end the episode. A move goes where it points; theirs is slip 0.2."""
    rows = read_rows("...G\n.#.H\nS...")
    return GridWorld(rows, step_reward=-0.1, goal_reward=1.0, hole_reward=-1.0, time_limit=100)


def maze() -> GridWorld:
    """A maze with one start and one goal: −1 per time step, the last one included."""
    rows = read_rows(
        """
        ##########
        S...#....#
        ##.##.##.#
        #..#...#.#
        #.##.#.#.#
        #....#...#
        #.##.###.#
        #.#...#..#
        #...#....G
        ##########
        """.replace(" ", "")
    )
    return GridWorld(rows, step_reward=-1.0, goal_reward=-1.0, time_limit=500)


def slippery(size: int, slip: float = 0.2, walls: float = 0.1, holes: float = 0.01, seed: int = 0) -> GridWorld:
    """A ``size`` × ``size`` grid to measure solvers with: the goal in the last corner, walls and holes at random.

    ``walls`` and ``holes`` are their shares of the cells.
    """
    chance = np.random.default_rng(seed).random((size, size))
    cells = np.where(chance < walls, "#", np.where(chance < walls + holes, "H", "."))
    cells[0, 0], cells[-1, -1] = "S", "G"
    rows = tuple("".join(row) for row in cells)
    return GridWorld(rows, goal_reward=100.0, hole_reward=-50.0, slip=slip, time_limit=10 * size)
