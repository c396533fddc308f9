"""Worlds and games by name: ``make("CartPole-v1")``, ``make("grid/toy,step_reward=-2")``, ``make("gym:Taxi-v3")``.

A world is two spaces and two pure functions, or a simulator outside that looks like them; games are in `games`, tasks
for language models in `text`. Nothing here learns, and no world knows who acts in it.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

from puzzlebox.envs.options import configure, read_options
from puzzlebox.envs.own import is_own, load_own
from puzzlebox.errors import UsageError, unknown
from puzzlebox.types import Environment, Game, Tabular, Untabled, World

# name -> "module:class" inside puzzlebox.envs, imported only when asked for
ENVIRONMENTS = {
    "CartPole-v1": "cartpole:CartPole",
    "Acrobot-v1": "acrobot:Acrobot",
    "MountainCar-v0": "mountain_car:MountainCar",
    "Pendulum-v1": "pendulum:Pendulum",
    "bandit": "bandit:Bandit",
    "probe/one-action": "probes:OneAction",
    "probe/observed-reward": "probes:ObservedReward",
    "probe/delayed-reward": "probes:DelayedReward",
    "probe/action-reward": "probes:ActionReward",
    "probe/matching": "probes:Matching",
    "probe/pixels": "probes:Pixels",
    "grid/robot": "gridworld:robot",
    "grid/toy": "gridworld:toy",
    "grid/maze": "gridworld:maze",
    "platformer/level-1": "platformer.world:level_1",
    "platformer/level-2": "platformer.world:level_2",
    "platformer/level-3": "platformer.world:level_3",
    "platformer/random": "platformer.world:random_level",
}
GAMES = {
    "tic_tac_toe": "games.tic_tac_toe:TicTacToe",
    "connect_four": "games.connect_four:ConnectFour",
}
PREFIXES = {
    "gym": "any environment that Gymnasium knows, e.g. gym:FrozenLake-v1",
    "atari": "an Atari 2600 game, e.g. atari:pong, atari:breakout,sticky=0",
    "minatar": "an Atari game on 10 × 10 squares, e.g. minatar:breakout",
    "grid": "a grid drawn in a text file, e.g. grid:my_map.txt",
    "retro": "a console game by an emulator, e.g. retro:Airstriker-Genesis-v0",
    "pgx": "a game of Pgx, e.g. pgx:othello, pgx:go_9x9, pgx:chess",
}


def make_tabular(name: str) -> Tabular:
    """The world called ``name``, whose MDP is known; raises UsageError for one that publishes no transitions."""
    world = make(name)
    if isinstance(world, Tabular):
        return world
    reason = world.no_table if isinstance(world, Untabled) else "it does not publish its transitions"
    raise UsageError(f"{name} cannot be solved exactly: {reason}; train on it instead")


def make(name: str) -> World | Game:
    """The world or game called ``name``, options after commas: ``grid/toy,step_reward=-2,slip=0.1``.

    Raises UsageError for an unknown name (with the nearest ones) or option.
    """
    base, options = read_options(name)
    if is_own(base):
        return make_own(base, options)
    # PREFIX:NAME is a world of another library, or one from a file. Each is imported only here, as it may be missing.
    prefix, colon, rest = base.partition(":")
    if colon and prefix == "gym":
        from puzzlebox.envs.gymnasium_host import make_gymnasium

        return make_gymnasium(rest, options)
    if colon and prefix == "atari":
        from puzzlebox.envs.atari import make_atari

        return configure(base, make_atari(rest), options)
    if colon and prefix == "minatar":
        from puzzlebox.envs.minatar import make_minatar

        return configure(base, make_minatar(rest), options)
    if colon and prefix == "retro":
        from puzzlebox.envs.retro import make_retro

        return configure(base, make_retro(rest), options)
    if colon and prefix == "grid":
        from puzzlebox.envs.gridworld import from_file

        return configure(base, from_file(Path(rest)), options)
    if colon and prefix == "pgx":
        from puzzlebox.envs.games.pgx_game import make_pgx

        return configure(base, make_pgx(rest), options)
    if colon:
        raise unknown("environment prefix", prefix, PREFIXES)
    # Everything else is ours.
    constructors = ENVIRONMENTS | GAMES
    if base not in constructors:
        if Path(base).is_file():
            raise UsageError(f"{base} is a file; the world of a map is called grid:{base}")
        from puzzlebox.envs.elsewhere import unknown_environment

        raise unknown_environment(base, constructors)
    module, _, attribute = constructors[base].partition(":")
    constructor = getattr(importlib.import_module(f"puzzlebox.envs.{module}"), attribute)
    return configure(base, constructor(), options)


def make_own(name: str, options: dict[str, str]) -> World | Game:
    """A world of the user's own, ``my_world.py:Spring``: a class (or function) that makes one, or one that is made.

    Options are those of its fields written with `fields.param`. Raises UsageError for what is no world.
    """
    made = load_own(name, "world")
    world = made() if callable(made) else made
    if not isinstance(world, Environment | Game):
        needed = ("observation_space", "action_space", "reset", "step")
        lacking = ", ".join(member for member in needed if member not in dir(world)) or "what a world has"
        raise UsageError(f"{name} is no world: it lacks {lacking}; examples/own_environment.py shows one")
    if options and not dataclasses.is_dataclass(world):
        raise UsageError(f"{name} has no options; make it an equinox.Module whose fields are written with param")
    return configure(name, world, options) if dataclasses.is_dataclass(world) else world
