"""The tables that Gymnasium's toy-text tasks publish, read as worlds.

``P[state][action] = [(probability, next state, reward, done), ...]`` and ``initial_state_distrib``. They are taken
literally: an outcome marked done is worth its reward and nothing after, and a state that only follows a done outcome
keeps the row the task wrote for it (FrozenLake loops on itself with reward 0; Taxi and CliffWalking would let the agent
walk on, at −1 a step).

A table says nothing of what wrappers do, or a subclass that steps otherwise: it counts only for the task as it was
made, under the wrappers that ``gymnasium.make`` itself adds.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from puzzlebox.envs.gridworld import CHARACTERS
from puzzlebox.envs.table import Table, TableWorld
from puzzlebox.errors import UsageError
from puzzlebox.types import MDP, Layout

TRANSPARENT = (OrderEnforcing, PassiveEnvChecker)  # they check and change nothing
Outcome = tuple[int, float, bool]  # next state, reward, done


def publishes_table(env: gymnasium.Env) -> bool:
    """Whether a Gymnasium environment has a ``P`` at all, be it a table or something else of that name."""
    return hasattr(env.unwrapped, "P")


def why_no_table(env: gymnasium.Env) -> str:
    """Why the ``P`` of a Gymnasium environment does not say what happens in it; empty where it does.

    Taxi's ``fickle_passenger`` changes the destination outside its table, so such a task has none.
    """
    world: Any = env.unwrapped
    if not publishes_table(env):
        return "it does not publish its transitions"
    if not _looks_like_table(world.P):
        return "its P is no table of the form P[state][action] = [(probability, next state, reward, done), ...]"
    if not hasattr(world, "initial_state_distrib"):
        return "it publishes P, but no initial_state_distrib, so nobody knows where it starts"
    for space, what in ((world.observation_space, "observations"), (world.action_space, "actions")):
        if not isinstance(space, gymnasium.spaces.Discrete):
            return f"its {what} are {space}, not the numbers that its P is written in"
    if getattr(world, "fickle_passenger", False):
        return "its fickle passenger changes the destination outside of its P"
    if changed := _changed_by(env):
        return f"{changed} changes what its P says"
    return ""


def table_from_gymnasium(env: gymnasium.Env) -> TableWorld:
    """A Gymnasium task that publishes its transitions, as a pure world with the time limit of its registration."""
    mdp = mdp_from_gymnasium(env)
    limit = env.spec.max_episode_steps if env.spec is not None else None
    return TableWorld(Table(mdp), layout=_layout(env.unwrapped, mdp), time_limit=limit or 0)


def mdp_from_gymnasium(env: gymnasium.Env) -> MDP:
    """The exact process behind Gymnasium's ``P``; float64 numpy arrays, equal outcomes merged.

    ``K`` is the largest number of different outcomes of a state and action; shorter rows are padded with outcomes of
    probability 0. Raises UsageError where there is no table, and for one that is malformed, with state and action.
    """
    world: Any = env.unwrapped
    name = f"gym:{env.spec.id}" if env.spec is not None else type(world).__name__
    if reason := why_no_table(env):
        raise UsageError(f"{name} cannot be solved exactly: {reason}; train on it instead")
    try:
        return _read(world.P, world.initial_state_distrib, int(world.observation_space.n), int(world.action_space.n))
    except UsageError as fault:
        raise UsageError(f"{name}: {fault}; mend its table, or train on it with host=true") from None


def _looks_like_table(table: Any) -> bool:
    """Whether somewhere in it a state has an action that has outcomes; whoever writes such a thing means a table."""
    outcomes = (row for actions in _values(table) for row in _values(actions))
    return any(isinstance(row, list | tuple) and any(isinstance(one, tuple | list) for one in row) for row in outcomes)


def _values(container: Any) -> list[Any]:
    """What a dictionary or list holds; nothing where it is neither."""
    if isinstance(container, Mapping):
        return list(container.values())
    return list(container) if isinstance(container, list | tuple) else []


def _changed_by(env: gymnasium.Env) -> str:
    """What stands between the task's table and whoever plays: a wrapper, or a subclass that steps differently."""
    limits = 0
    while isinstance(env, gymnasium.Wrapper):
        limits += type(env) is TimeLimit
        if type(env) is TimeLimit and limits > 1:
            return "a second TimeLimit inside"
        if type(env) is not TimeLimit and type(env) not in TRANSPARENT:
            return f"the wrapper {type(env).__name__}"
        env = env.env
    own = type(env)
    theirs = next((base for base in own.__mro__ if base.__module__.startswith("gymnasium.envs.toy_text.")), None)
    if theirs is not None and any(getattr(own, part) is not getattr(theirs, part) for part in ("step", "reset")):
        return f"{own.__name__}, which steps or resets otherwise than {theirs.__name__},"
    return ""


def _read(table: Any, start: Any, num_states: int, num_actions: int) -> MDP:
    """The arrays of a table for so many states and actions; raises UsageError that names the first wrong place."""
    strange = [state for state in _keys(table) if not _is_number(state) or not 0 <= state < num_states]
    if strange:
        raise UsageError(f"its P has a state {strange[0]!r}; states are the whole numbers 0 to {num_states - 1}")
    for state in _keys(table):
        strange = [action for action in _keys(table[state]) if not _is_number(action) or not 0 <= action < num_actions]
        if strange:
            known = f"actions are the whole numbers 0 to {num_actions - 1}"
            raise UsageError(f"its P has an action {strange[0]!r} in state {state}; {known}")
    rows = [_row(table, state, action, num_states) for state in range(num_states) for action in range(num_actions)]
    width = max(map(len, rows))
    # The rows as arrays [S · U, K]; what is not filled stays in its own state, with probability 0.
    next_state = np.repeat(np.arange(num_states, dtype=np.int32), num_actions * width).reshape(-1, width)
    probability, reward = np.zeros(next_state.shape), np.zeros(next_state.shape)
    terminated = np.zeros(next_state.shape, bool)
    for index, row in enumerate(rows):
        total = sum(row.values())
        for k, ((following, paid, done), chance) in enumerate(row.items()):
            next_state[index, k], reward[index, k], terminated[index, k] = following, paid, done
            probability[index, k] = chance / total
    shape = (num_states, num_actions, width)
    return MDP(
        next_state.reshape(shape),
        probability.reshape(shape),
        reward.reshape(shape),
        terminated.reshape(shape),
        _start(start, num_states),
    )


def _row(table: Any, state: int, action: int, num_states: int) -> dict[Outcome, float]:
    """(next state, reward, done) -> probability, of the outcomes of a move that can occur, equal ones merged."""
    if state not in _keys(table):
        raise UsageError(f"its P has no state {state}, though there are {num_states} (0 to {num_states - 1})")
    actions = table[state]
    if action not in _keys(actions):
        stay = f"[(1.0, {state}, 0.0, True)]"
        raise UsageError(
            f"its P has no action {action} in state {state}; a state where all is over has {stay} for each"
        )
    where = f"state {state}, action {action}"
    outcomes = actions[action]
    if not isinstance(outcomes, list | tuple):
        raise UsageError(f"the outcomes of {where} are {outcomes!r}, not a list")
    merged: dict[Outcome, float] = {}
    for parts in outcomes:
        if not isinstance(parts, tuple | list) or len(parts) != 4:
            raise UsageError(f"{where} has the outcome {parts!r}; it must be (probability, next state, reward, done)")
        probability, following, reward, done = parts
        if not _real(probability) >= 0:
            raise UsageError(f"{where} has the probability {probability!r}; it must be a number of at least 0")
        if probability == 0:
            continue
        if not _is_number(following) or not 0 <= following < num_states:
            raise UsageError(f"{where} leads to {following!r}; states are the whole numbers 0 to {num_states - 1}")
        if math.isnan(_real(reward)):
            raise UsageError(f"{where} has the reward {reward!r}; it must be a number")
        outcome = (int(following), float(reward), bool(done))
        merged[outcome] = merged.get(outcome, 0.0) + float(probability)
    total = sum(merged.values())
    if not abs(total - 1) <= 1e-6:
        raise UsageError(f"the outcomes of {where} sum to {total:.6g}, not 1")
    return merged


def _start(start: Any, num_states: int) -> np.ndarray:
    try:
        probability = np.asarray(start, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"its initial_state_distrib is {start!r}, not a list of probabilities") from None
    if probability.shape != (num_states,):
        raise UsageError(f"its initial_state_distrib has the shape {list(probability.shape)}, not [{num_states}]")
    total = probability.sum()
    if not (probability >= 0).all() or not abs(total - 1) <= 1e-6:
        found = f"the smallest is {probability.min():g}, the sum {total:g}"
        raise UsageError(f"its initial_state_distrib is no distribution: {found}")
    return probability / total


def _keys(container: Any) -> Any:
    """The keys of a dictionary, the indices of a list."""
    if isinstance(container, Mapping):
        return container.keys()
    return range(len(container)) if isinstance(container, list | tuple) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _real(value: Any) -> float:
    """``value`` as a number, NaN where it is none."""
    try:
        return math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _layout(world: Any, mdp: MDP) -> Layout | None:
    """The map of FrozenLake (``desc``) and CliffWalking (``shape`` and its cliff); None for tasks that are no grid."""
    num_states = mdp.next_state.shape[0]
    if getattr(world, "desc", None) is not None and np.size(world.desc) == num_states:
        cells = np.char.replace(np.asarray(world.desc).astype(str), "F", ".")
        if cells.ndim != 2 or not np.isin(cells, list(CHARACTERS)).all():
            return None
    elif hasattr(world, "_cliff") and np.size(world._cliff) == num_states and np.ndim(world._cliff) == 2:
        cells = np.where(world._cliff, "H", ".")
        cells.flat[np.flatnonzero(mdp.start)] = "S"
        cells.flat[np.unique(mdp.next_state[mdp.terminated & (mdp.probability > 0)])] = "G"
    else:
        return None
    actions = _compass(mdp, cells.shape[1])
    return Layout(tuple("".join(row) for row in cells), actions) if actions else None


def _compass(mdp: MDP, width: int) -> str | None:
    """Where each action mostly goes, read off the table itself: the mean of its moves to a neighbouring cell."""
    here = np.arange(len(mdp.next_state))[:, None, None]
    down = mdp.next_state // width - here // width
    right = mdp.next_state % width - here % width
    weight = np.where(np.abs(down) + np.abs(right) == 1, mdp.probability, 0.0)
    letters = ""
    for action in range(weight.shape[1]):
        south = float((weight * down)[:, action].sum())
        east = float((weight * right)[:, action].sum())
        letters += ("S" if south > 0 else "N") if abs(south) > abs(east) else ("E" if east > 0 else "W")
    return letters if len(set(letters)) == len(letters) else None
