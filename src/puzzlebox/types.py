"""Every protocol and record of Puzzlebox, on one page.

Shape letters used in all docstrings: ``T`` time, ``B`` parallel worlds (a batch), ``A`` agents (seeds × swept
values), ``S`` states, ``U`` actions of an MDP, ``K`` possible outcomes of one move.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import jax
import numpy as np

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
Key = jax.Array
State = Any
Metrics = dict[str, Array]


class Timestep(NamedTuple):
    """What one step of a world gives back.

    ``terminated``: the task itself ended, nothing follows, the value of ``observation`` is 0.
    ``truncated``: a clock stopped the episode, the value of ``observation`` still counts.
    ``measures``: what the world tells beside its reward, float32 each, always under the same names. The sum over an
    episode is the figure: what each term of the reward paid, ``success`` (1 in the step that reaches the goal), the
    furthest place (as its increase in each step). Learning never reads them.
    """

    observation: Array
    reward: Array
    terminated: Array
    truncated: Array
    measures: dict[str, Array] = {}  # noqa: RUF012 (never changed)


class Trajectory(NamedTuple):
    """Experience; leaves are ``[T, ...]``, a batch adds an axis: ``[T, B, ...]``.

    ``next_observation`` is s_{t+1}, never the observation after a reset.
    ``mask`` is True where the policy chose the action (not a prompt, a tool's output or padding).
    """

    observation: Array
    action: Array
    log_prob: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_observation: Array
    mask: Array


class MDP(NamedTuple):
    """A finite Markov decision process, sparse: every (state, action) lists its ``K`` possible outcomes.

    A row with fewer than ``K`` outcomes is padded with probability 0. An outcome with ``terminated`` ends the
    episode: nothing is bootstrapped from its ``next_state``.
    """

    next_state: ArrayLike  # int32   [S, U, K]
    probability: ArrayLike  # float  [S, U, K], sums to 1 over K
    reward: ArrayLike  # float       [S, U, K]
    terminated: ArrayLike  # bool    [S, U, K]
    start: ArrayLike  # float        [S], the distribution of the first state


class Environment(Protocol):
    """One world as pure functions; Gymnasium spaces describe it. ``vectorize`` makes many of it."""

    @property
    def observation_space(self) -> gymnasium.Space: ...
    @property
    def action_space(self) -> gymnasium.Space: ...
    def reset(self, key: Key) -> tuple[State, Array]: ...
    def step(self, state: State, action: Array, key: Key) -> tuple[State, Timestep]: ...


class VectorEnvironment(Protocol):
    """``B`` worlds that restart by themselves; the spaces are those of one world.

    ``step`` returns ``(state, timestep, observation)``: ``timestep.observation`` is the true s_{t+1} and
    ``observation`` is the one to act on next, which differs where an episode has just ended.
    """

    num_envs: int

    @property
    def observation_space(self) -> gymnasium.Space: ...
    @property
    def action_space(self) -> gymnasium.Space: ...
    def reset(self, key: Key) -> tuple[State, Array]: ...
    def step(self, state: State, action: Array, key: Key) -> tuple[State, Timestep, Array]: ...


class Position(NamedTuple):
    """What a game shows after every move (and at its start).

    ``reward`` and ``player`` number the players absolutely, 0 moves first; ``observation`` is seen from the player to
    move. While the game goes on at least one move is legal; after its end every move counts as legal and changes
    nothing, so that masks are never empty.
    """

    observation: Array  # [*shape], from the player to move
    legal: Array  # bool [U]
    player: Array  # int32 [], who moves next
    reward: Array  # float32 [2], what the last move paid each player; a game of one player uses index 0
    terminated: Array  # bool []


class Symmetries(NamedTuple):
    """The ``G`` ways to turn a board that change nothing but names; the first one leaves it as it is.

    ``flattened observation[..., observation[g]]`` is the observation of the board turned by g, and
    ``policy[..., action[g]]`` the probabilities (or legality) of its moves.
    """

    observation: np.ndarray  # int32 [G, numbers in an observation]
    action: np.ndarray  # int32 [G, U]


@runtime_checkable
class Game(Protocol):
    """A game of one player or of two in turn, as pure functions. Players' rewards of a two-player game sum to zero.

    ``step`` trusts that the move is legal: commands check moves of people before. ``key`` is for games with chance.
    ``parse_move`` reads what ``move_name`` writes and raises UsageError for anything else; a name may depend on the
    state (promotions, captures), which both take for that reason.
    """

    @property
    def num_players(self) -> int: ...
    @property
    def observation_space(self) -> gymnasium.spaces.Box: ...
    @property
    def action_space(self) -> gymnasium.spaces.Discrete: ...
    def reset(self, key: Key) -> tuple[State, Position]: ...
    def step(self, state: State, action: Array, key: Key) -> tuple[State, Position]: ...
    def symmetries(self) -> Symmetries: ...
    def show(self, state: State) -> str: ...
    def move_name(self, state: State, action: int) -> str: ...
    def parse_move(self, state: State, text: str) -> int: ...


class Policy(Protocol):
    """Chooses an action for one observation; what it knows is inside it."""

    def __call__(self, observation: Array, key: Key) -> Array: ...


@runtime_checkable
class Algorithm(Protocol):
    """An Equinox module whose fields are the hyper-parameters.

    A hyper-parameter given as a number is a constant of the compiled program; given as an array it is traced, so
    that ``vmap`` sweeps it. ``steps`` is the number of environment steps of the whole training, ``iteration_steps``
    how many of them one call of ``step`` takes. The state is a NamedTuple with a member ``worlds``; an algorithm that
    remembers more of unfinished episodes lists those members in ``episode_members``.
    """

    steps: int

    @property
    def iteration_steps(self) -> int: ...
    def init(self, key: Key) -> State: ...
    def step(self, state: State) -> tuple[State, Metrics]: ...
    def policy(self, state: State, greedy: bool = False) -> Policy: ...
