"""Every protocol and record of Puzzlebox, on one page.

What only some worlds, algorithms or tasks can do is a small protocol of its own, whose docstring says who can ("Who:")
and who wants to know ("Who asks:"). The way to ask is ``isinstance(env, Tabular)``: an object that has the members has
the ability; nothing is declared or inherited. Python 3.11 evaluates the properties among the members to find out, so
properties are cheap here and nobody asks inside a loop.

Shape letters used in all docstrings: ``T`` time, ``B`` parallel worlds (a batch), ``A`` agents (seeds × swept
values), ``S`` states, ``U`` actions of an MDP, ``K`` possible outcomes of one move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import jax
import numpy as np

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
Key = jax.Array
State = Any  # a pytree of arrays; each world and algorithm has its own
Metrics = dict[str, Array]


class Timestep(NamedTuple):
    """What one step of a world gives back; scalars for one world, ``[B]`` for a vector of them.

    ``terminated``: the task itself ended. Nothing follows, so the value of ``observation`` is 0.
    ``truncated``: a clock stopped the episode. It could have gone on, so learners bootstrap from ``observation``.
    ``measures``: what the world reports beside its reward, float32 each, always under the same names. Their sum over an
    episode is what is reported: what each term of the reward paid, ``success`` (1 in the step that reaches the goal),
    the furthest place (as its increase in each step). Learning never reads them.
    """

    observation: Array
    reward: Array
    terminated: Array
    truncated: Array
    measures: dict[str, Array] = {}  # noqa: RUF012 (never changed)


class Trajectory(NamedTuple):
    """Experience; leaves are ``[T, ...]``, a batch adds an axis: ``[T, B, ...]``.

    ``log_prob`` is log π(a_t | s_t) in nats, of the policy that chose the action (not the one being trained).
    ``next_observation`` is s_{t+1}, never the observation after a reset.
    ``mask`` is True where the policy chose the action (not a prompt, a tool's output or padding).
    ``extras``: what an algorithm keeps of each step besides these, by name: a value, what a search found.
    """

    observation: Array
    action: Array
    log_prob: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_observation: Array
    mask: Array
    extras: dict[str, Array] = {}  # noqa: RUF012 (never changed)


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


class Layout(NamedTuple):
    """A world's map: ``rows`` of characters, one per state, row by row, and the compass letter of each action."""

    rows: tuple[str, ...]
    actions: str  # one of N, E, S, W per action


@runtime_checkable
class Environment(Protocol):
    """One world as pure functions, described by Gymnasium spaces; `envs.vector.vectorize` makes many of it.

    ``reset`` returns the state and the first observation. ``step`` does not restart an ended episode; the vector does.
    """

    @property
    def observation_space(self) -> gymnasium.Space: ...
    @property
    def action_space(self) -> gymnasium.Space: ...
    def reset(self, key: Key) -> tuple[State, Array]: ...
    def step(self, state: State, action: Array, key: Key) -> tuple[State, Timestep]: ...


@runtime_checkable
class VectorEnvironment(Protocol):
    """``B`` worlds that restart by themselves; the spaces are those of one world.

    ``step`` returns ``(state, timestep, observation)``: ``timestep.observation`` is the true s_{t+1}, to learn from;
    ``observation`` is the one to act on next. They differ where an episode has just ended: there it is the first of the
    new episode.
    """

    @property
    def num_envs(self) -> int: ...
    @property
    def observation_space(self) -> gymnasium.Space: ...
    @property
    def action_space(self) -> gymnasium.Space: ...
    def reset(self, key: Key) -> tuple[State, Array]: ...
    def step(self, state: State, action: Array, key: Key) -> tuple[State, Timestep, Array]: ...


@runtime_checkable
class Simulated(Protocol):
    """A world that runs outside the compiled program and makes its own vector of worlds; see `envs.host`.

    Who: Gymnasium's environments, Atari, consoles. Who asks: `vectorize`; agents, since a simulator serves one device
    and cannot be saved; evaluation, which plays few at once; ``watch``, which plays a ``single`` one with pictures.
    """

    @property
    def observation_space(self) -> gymnasium.Space: ...
    @property
    def action_space(self) -> gymnasium.Space: ...
    def vectorize(self, num_envs: int) -> VectorEnvironment: ...
    def single(self, render_mode: str | None = None) -> gymnasium.Env: ...
    def close(self) -> None: ...


World = Environment | Simulated


@runtime_checkable
class Untabled(Protocol):
    """A world that could have published its MDP but has not: ``no_table`` says why.

    ``note`` tells whoever trains on it; it is empty where nobody would expect a table.
    Who: Gymnasium's environments. Who asks: ``solve``, ``train``.
    """

    @property
    def no_table(self) -> str: ...
    @property
    def note(self) -> str: ...


@runtime_checkable
class Tabular(Protocol):
    """A world whose MDP is known; ``layout`` is None where it has no map, ``time_limit`` 0 where it has no limit.

    Who: grids, and Gymnasium's tasks that publish their table. Who asks: ``solve``, tabular learners, which step the
    world from its table, and whoever draws a map.
    """

    @property
    def time_limit(self) -> int: ...
    @property
    def layout(self) -> Layout | None: ...
    def mdp(self) -> MDP: ...


@runtime_checkable
class Predictable(Protocol):
    """A pure world that says whether its step draws at random; one that does not say is assumed to.

    Who: most pure worlds; it is ``random_step = False`` where ``step`` ignores its key. Who asks: `vectorize`, which
    then makes no keys for it, and `check_environment`.
    """

    @property
    def random_step(self) -> bool: ...


@runtime_checkable
class Timed(Protocol):
    """A world that cuts its episodes after ``time_limit`` steps; 0: never. Who asks: ``doctor``."""

    @property
    def time_limit(self) -> int: ...


@runtime_checkable
class Renderable(Protocol):
    """A pure world that draws its states, uint8 [height, width, 3].

    Who: classic control, MinAtar, the platformer. Who asks: ``watch`` and the export to Gymnasium.
    """

    @property
    def frames_per_second(self) -> int: ...
    def render(self, state: State) -> np.ndarray: ...


@runtime_checkable
class Stacked(Protocol):
    """A world that shows its newest ``frame_stack`` frames, the newest last; 1: one at a time.

    Who: Atari, consoles, the platformer. Who asks: DQN, whose replay keeps every frame once.
    """

    @property
    def frame_stack(self) -> int: ...


@runtime_checkable
class Weighted(Protocol):
    """A world whose reward is a sum of terms with ``weights``, a frozen dataclass of numbers such as `envs.six_terms`'.

    Who: the platformer, and consoles (None for a game that is paid otherwise). Who asks: ``doctor``, which tells terms
    that weigh something and never pay.
    """

    @property
    def weights(self) -> Any: ...


@runtime_checkable
class Scored(Simulated, Protocol):
    """A simulator with rules for scores: ``protocol`` has its rules in words, ``frames_per_step`` among them.

    ``evaluation()`` is the world as it is played for scores, without what only training does to it.
    Who: Atari and consoles. Who asks: `runs.protocol`, for evaluation and the run directory.
    """

    @property
    def protocol(self) -> dict[str, Any]: ...
    def evaluation(self) -> Scored: ...


class Position(NamedTuple):
    """What a game shows after every move (and at its start).

    ``reward`` and ``player`` use absolute numbers: player 0 moves first. ``observation`` is seen from the player to
    move. While the game goes on, at least one move is legal. After its end every move counts as legal and changes
    nothing, so that no mask is ever empty (a softmax over nothing is NaN).
    """

    observation: Array  # [*shape], from the player to move
    legal: Array  # bool [U]
    player: Array  # int32 [], who moves next
    reward: Array  # float32 [2], what the last move paid each player; a game of one player uses index 0
    terminated: Array  # bool []


class Symmetries(NamedTuple):
    """The ``G`` rotations and reflections of a board under which its game is the same; the first is the identity.

    ``flattened observation[..., observation[g]]`` is the observation of the board turned by g, and
    ``policy[..., action[g]]`` the probabilities (or legality) of its moves.
    """

    observation: np.ndarray  # int32 [G, numbers in an observation]
    action: np.ndarray  # int32 [G, U]


@runtime_checkable
class Game(Protocol):
    """A game for one player, or for two who take turns, as pure functions. Two players' rewards sum to zero.

    ``step`` trusts that the move is legal: commands check what people type first. ``key`` is for games with chance.
    ``parse_move`` reads what ``move_name`` writes and raises UsageError for anything else. Both take the state, since
    the name of a move may depend on it (promotions, captures). ``show`` draws the board as text.
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


@runtime_checkable
class Named(Protocol):
    """A game with a name of its own. Who: Pgx's. Who asks: errors about it."""

    @property
    def name(self) -> str: ...


@runtime_checkable
class Board(Protocol):
    """The state of a game with a board, [rows, columns] of 1 and −1 for stones. Who asks: the picture of a tree."""

    @property
    def board(self) -> Array: ...


class Policy(Protocol):
    """Chooses an action for one observation; what it knows is inside it."""

    def __call__(self, observation: Array, key: Key) -> Array: ...


@runtime_checkable
class Algorithm(Protocol):
    """An Equinox module whose fields are the hyper-parameters; ``env`` is what it learns: a world, a game, or a task.

    A hyper-parameter given as a number is a constant of the compiled program; given as an array it is traced, so
    that ``vmap`` can sweep it. ``steps`` is the number of environment steps of the whole training, ``iteration_steps``
    how many of them one call of ``step`` takes. ``init`` makes the state before training, ``step`` is one iteration
    (acting and learning) and returns metrics, NaN where nothing was measured; ``policy`` is what was learned so far.
    The state is a NamedTuple with a member ``worlds``.
    """

    @property
    def env(self) -> Any: ...
    @property
    def steps(self) -> int: ...
    @property
    def iteration_steps(self) -> int: ...
    def init(self, key: Key) -> State: ...
    def step(self, state: State) -> tuple[State, Metrics]: ...
    def policy(self, state: State, greedy: bool = False) -> Policy: ...


Tell = Callable[[str], None]  # receives a line for the person who trains
# (swept, state, iterations) -> (state, metrics [A]), see `Trainee`
Advance = Callable[[dict[str, Any], State, Any], tuple[State, Mapping[str, ArrayLike]]]


class Trainee(Protocol):
    """The agents of one run, of either kind; the trainer treats both alike.

    Who: `runs.agents.Agents`, one compiled program for all of them, and `runs.language_agents.LanguageAgents`, whose
    steps run on the host. Who asks: `training.train`.

    What `compile` returns, ``advance(swept, state, iterations)``, gives the state after so many iterations and metrics
    ``[A]``, means over them; ``swept`` are the agents' own values. ``asks_a_person``: somebody at the terminal answers
    while the agents learn, so every point is saved and no progress bar takes the screen. ``slow``: training takes so
    long that a person is told the expected duration.
    """

    swept: dict[str, Any]
    num_agents: int

    @property
    def algorithm(self) -> Any: ...
    @property
    def asks_a_person(self) -> bool: ...
    @property
    def slow(self) -> bool: ...
    def check(self) -> None:
        """Before anything is made: raises UsageError where these agents cannot be trained here."""

    def notes(self) -> list[str]:
        """What a person should know before training begins; raises UsageError as `check` does."""
        ...

    def shapes(self) -> State:
        """Shapes and types of the state, without computing it."""

    def start(self) -> State:
        """The state before training."""

    def resumed(self, state: State, steps: int) -> tuple[State, str]:
        """The state with which training continues after one was saved at ``steps`` steps, and what could not be saved.

        The text is shown behind the name of the world; it is "" where the saved state was complete.
        """
        ...

    def compile(self, state: State, tell: Tell | None = None) -> Advance:
        """`Advance`, ready for ``state``; ``tell`` may receive what an update costs, now or at the first update.

        Raises UsageError, also now or then, where an update needs more memory than there is, before it runs.
        """
        ...


@runtime_checkable
class RemembersEpisodes(Protocol):
    """An algorithm that remembers more of unfinished episodes than ``worlds``: ``episode_members`` names all of it.

    Who: Sarsa and Monte Carlo. Who asks: ``resume``, where a simulator starts its episodes again.
    """

    @property
    def episode_members(self) -> tuple[str, ...]: ...


@runtime_checkable
class Searching(Protocol):
    """An algorithm that plays games by search; ``playing_members`` of its state are what playing needs.

    ``search`` finds moves for ``B`` positions without noise (`acting.search.SearchResult`); ``predict`` is what the
    network alone thinks: logits ``[..., U]``, legal or not, and the value for the player to move.
    Who: AlphaZero, MuZero, cloning. Who asks: players, the arena, and the picture of a tree.
    """

    @property
    def playing_members(self) -> tuple[str, ...]: ...
    @property
    def num_simulations(self) -> int: ...
    def predict(self, state: State, observation: Array) -> tuple[Array, Array]: ...
    def search(self, state: State, game_states: State, positions: Position, key: Key, num_simulations: int) -> Any: ...


@runtime_checkable
class StartsFromRun(Protocol):
    """A searching algorithm that may begin with the network of the run named in ``start``; "" for none.

    Who: AlphaZero. Who asks: `runs.trained`. (The ``start`` of a language algorithm is a model.)
    """

    @property
    def playing_members(self) -> tuple[str, ...]: ...
    @property
    def start(self) -> str: ...


class Listener(Protocol):
    """A place for a callback that receives an algorithm's next update as a compiled program, once; None for nobody."""

    tell: Callable[[Any], None] | None


class LanguageAlgorithm(Protocol):
    """An `Algorithm` for language models, whose step runs on the host; ``start`` is the `LanguageModel` it begins with.

    ``asks_a_person``: somebody at the terminal judges. ``check_rows`` raises UsageError for the first row of a file
    that cannot be learned from. ``listener`` sees the next compiled update before it runs.
    """

    @property
    def env(self) -> Task: ...
    @property
    def start(self) -> Any: ...
    @property
    def steps(self) -> int: ...
    @property
    def iteration_steps(self) -> int: ...
    @property
    def asks_a_person(self) -> bool: ...
    @property
    def listener(self) -> Listener: ...
    def init(self, key: Key) -> State: ...
    def step(self, state: State) -> tuple[State, Metrics]: ...
    def policy(self, state: State, greedy: bool = False) -> Any: ...
    def check_rows(self) -> None: ...


class Example(NamedTuple):
    """One problem of a task.

    ``completion`` is a worked solution for supervised training; ``data`` is what the verifier needs; ``source``: the
    file and line it comes from, for messages to the user.
    """

    prompt: str
    answer: str = ""  # the short final answer, "" where many are right
    completion: str = ""  # a demonstration, "" if there is none
    data: dict[str, Any] = {}  # noqa: RUF012 - never changed
    source: str = ""


@runtime_checkable
class Task(Protocol):
    """Problems for a language model, with a verifier; the hyper-parameters are fields written with ``param``.

    ``max_tokens``: how many tokens a completion may take, the stop token included (characters for a plain task).
    ``chat``: prompts are natural language for a chat model; otherwise plain text that the completion continues.
    ``levels``: names of the task's levels from easy to hard, values of its field ``level``; () if it has none.
    ``held_out``: test problems are never training problems.
    """

    @property
    def max_tokens(self) -> int: ...
    @property
    def chat(self) -> bool: ...
    @property
    def levels(self) -> tuple[str, ...]: ...
    @property
    def held_out(self) -> bool: ...
    def examples(self, split: str, count: int, seed: int) -> list[Example]: ...
    def reward(self, example: Example, completion: str) -> float: ...
    def correct(self, example: Example, completion: str) -> bool: ...
    def hint(self, example: Example) -> str: ...


@runtime_checkable
class RewardsMany(Task, Protocol):
    """A task that rewards several completions at once, each to its example.

    Who: files, whose reward functions take columns, and judged tasks, whose model takes a batch. Who asks: whoever
    scores completions.
    """

    def rewards(self, examples: Sequence[Example], completions: Sequence[str]) -> list[float]: ...


@runtime_checkable
class TaskOfRows(Task, Protocol):
    """A file of rows as a task; rows are `data.dataset_rows.Row`, ``dataset`` is a `data.datasets.Dataset`.

    ``kind``: what its rows are ("prompt", "preference" …); ``skipped``: what was wrong with rows that were left out.
    ``check_verdicts`` raises UsageError unless all its rows can be judged.
    Who: files, also those judged by a reward model. Who asks: algorithms that learn from rows, evaluation, preflight.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def dataset(self) -> Any: ...
    @property
    def skipped(self) -> tuple[str, ...]: ...
    def rows(self, split: str) -> Sequence[Any]: ...
    def check_verdicts(self) -> None: ...
