"""One trained agent of a run, for playing with it: ``runs/az``, ``runs/az,agent=2``, ``runs/az,steps=40960``.

``agent`` counts the run's agents from 0, ``steps`` names a checkpoint (``steps=0``: as it was before training, from its
seed). Only what playing needs is read: search networks, but no optimiser and no replay. So a run directory may be
reduced to that. `save_weights` does it, and the weights shipped with the package are such directories.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from puzzlebox.envs.options import read_options
from puzzlebox.errors import UsageError, unknown
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.directory import Run, write_json
from puzzlebox.runs.progress import say
from puzzlebox.types import Algorithm, Array, Searching, StartsFromRun, State

SIZES = (
    "network",
    "width",
    "blocks",
    "head_width",
)  # in these a run and the one it starts from must agree
WEIGHTS = Path(__file__).parent.parent / "weights"


class Trained(NamedTuple):
    """An agent with its algorithm, and what it learned (other members of the state are None)."""

    config: dict[str, Any]
    algorithm: Searching
    state: State
    steps: int


def open_trained(path: str | Path, agent: int = 0, steps: int | None = None, env: str = "") -> Trained:
    """Agent number ``agent`` of a run, at its newest checkpoint or at the one after ``steps`` steps.

    ``env``, where given, is the game it must have learned. Raises UsageError for a run that does not exist or learned
    no game, or another one, and for an agent or a checkpoint that the run does not have.
    """
    from puzzlebox.runs.build import build_run

    run = Run.open(path)
    learned, by = run.config["env"], run.config["algorithm"]
    if env and learned != env:
        raise UsageError(f"{path} was trained on {learned}, so it cannot play {env}")
    if run.family != "games":
        raise UsageError(f"{path} was trained by {by}, which plays no games; alphazero, muzero and clone do")
    names = run.config["agents"]
    if not 0 <= agent < len(names):
        raise UsageError(f"agent is {agent}; {path} has agents 0 to {len(names) - 1}")
    agents = build_run(run)
    assert isinstance(agents, Agents)
    algorithm: Any = agents.one(agent)
    if steps == 0:
        state = started(algorithm, learned, jax.jit(algorithm.init)(jax.random.key(names[agent]["seed"])))
        return Trained(run.config, algorithm, only(algorithm, state), 0)
    like = only(algorithm, agents.shapes())
    if steps is None:
        state, progress, notes = checkpoint.load_newest(run.checkpoints, like)
        for note in notes:
            say(note)
    else:
        state, progress = checkpoint.load(find_checkpoint(run, steps), like)
    return Trained(run.config, algorithm, jax.tree.map(lambda x: x[agent], state), progress["steps"])


def network_of_start(algorithm: Algorithm, env: str) -> Any:
    """The network of the run that ``algorithm`` starts from; None where it starts from nothing.

    Raises UsageError for a run of another game, of an algorithm with other networks, or with a network of another size.
    """
    if not isinstance(algorithm, StartsFromRun) or not algorithm.start:
        return None
    name = algorithm.start
    base, options = read_name(name)
    trained = open_trained(base, options.get("agent", 0), options.get("steps"), env)
    if "average" not in trained.state._fields:
        by = trained.config["algorithm"]
        raise UsageError(f"start is '{name}', a run of {by}, whose network is another; name one of clone or alphazero")
    wrong = [size for size in SIZES if getattr(trained.algorithm, size) != getattr(algorithm, size)]
    if wrong:
        theirs = " ".join(f"--{size.replace('_', '-')} {getattr(trained.algorithm, size)}" for size in wrong)
        raise UsageError(f"start is '{name}', whose network has another size; add {theirs}")
    return trained.state.average


def started(algorithm: Algorithm, env: str, state: State) -> State:
    """``state`` before training, of one agent or ``[A, ...]``, with the network of the run it starts from, if any.

    Every agent gets the same network, both as the one that learns and as its moving average.
    """
    net = network_of_start(algorithm, env)
    if net is None:
        return state

    def copy(x: Array, like: Array) -> Array:
        """``x`` for every agent, placed on the devices as ``like`` is."""
        return jax.device_put(np.broadcast_to(x, like.shape), like.sharding)

    return state._replace(net=jax.tree.map(copy, net, state.net), average=jax.tree.map(copy, net, state.average))


def find_checkpoint(run: Run, steps: int) -> Path:
    """The checkpoint after ``steps`` steps; raises UsageError where the run does not have it any more."""
    files = {int(path.stem): path for path in checkpoint.list_checkpoints(run.checkpoints)}
    if steps not in files:
        kept = ", ".join(map(str, [0, *files]))
        raise UsageError(f"{run.path} has no checkpoint after {steps} steps; it has those after {kept}")
    return files[steps]


def only(algorithm: Searching, state: State) -> State:
    """The state with nothing but what playing needs: the members that the algorithm calls ``playing_members``."""
    return state._replace(**{name: None for name in state._fields if name not in algorithm.playing_members})


def read_name(name: str) -> tuple[str, dict[str, int]]:
    """``"runs/az,agent=2"`` as the directory and its options; raises UsageError for an option that does not exist."""
    base, options = read_options(name)
    numbers = {}
    for key, text in options.items():
        if key not in ("agent", "steps", "simulations"):
            raise unknown("option of a trained player", key, ["agent", "steps", "simulations"])
        if not text.isdigit():
            raise UsageError(f"{key} in '{name}' is '{text}'; it must be a whole number")
        numbers[key] = int(text)
    return base, numbers


def save_weights(name: str, place: Path) -> Path:
    """Writes one agent of a run (``DIR,agent=K``) as a run directory that holds only what playing needs."""
    base, options = read_name(name)
    agent = options.get("agent", 0)
    trained = open_trained(base, agent, options.get("steps"))
    chosen = trained.config["agents"][agent]
    config = trained.config | {
        "agents": [chosen],
        "seeds": 1,
        "seed": chosen["seed"],
        "sweep": {swept: [chosen[swept]] for swept in trained.config["sweep"]},
    }
    state = jax.tree.map(lambda x: x[None], trained.state)
    file = checkpoint.save(place / "checkpoints", trained.steps, state, {"steps": trained.steps, "seconds": 0.0})
    write_json(place / "config.json", config)
    return file


def shipped(game: str) -> Path | None:
    """The weights that come with the package for a game, where there are some."""
    place = WEIGHTS / game
    return place if (place / "config.json").is_file() else None
