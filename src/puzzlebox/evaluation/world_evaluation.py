"""Evaluation of agents in worlds: whole episodes with the trained policy, without what is for training only."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.rollout import Worlds, start
from puzzlebox.envs.host import simulation
from puzzlebox.envs.vector import vectorize
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.directory import Run, write_json
from puzzlebox.runs.protocol import for_scores, of_scores
from puzzlebox.stats.intervals import summarise
from puzzlebox.types import Array, Simulated, State

HOST_WORLDS = 8  # played at once in a simulator
MAX_EPISODE_STEPS = 27_000  # where an endless episode is cut: half an hour of Atari at 60 frames per second, 4 per step


class Played(NamedTuple):
    """Whole episodes: leaves ``[A, episodes]``; ``cut``: how many were stopped after `MAX_EPISODE_STEPS`."""

    returns: np.ndarray
    lengths: np.ndarray
    measures: dict[str, np.ndarray]
    cut: int


def evaluate_worlds(run: Run, agents: Agents, state: State, steps: int, *, episodes: int, seed: int) -> dict[str, Any]:
    """Every agent plays ``episodes`` greedily and as many sampled; writes ``evaluation.json``, returns the figures."""
    record: dict[str, Any] = {"steps": steps, "episodes": episodes, "seed": seed}
    figures: dict[str, Any] = {}
    for mode in ("greedy", "sampled"):
        played = play_episodes(agents, state, greedy=mode == "greedy", episodes=episodes, seed=seed)
        record[mode] = {
            "episode_returns": played.returns.round(4).tolist(),
            "episode_lengths": played.lengths.tolist(),
            "episodes_cut": played.cut,
        }
        figures[mode] = scores(played.returns.mean(axis=1)) | {
            "length_mean": float(played.lengths.mean()),
            "episodes_cut": played.cut,
        }
        if played.measures:
            record[mode]["episode_measures"] = {n: x.round(4).tolist() for n, x in played.measures.items()}
            figures[mode] |= measured(played.measures)
    write_json(run.path / "evaluation.json", record)
    config = run.config
    if agents.swept:
        figures["table"] = sweep_table(config, figures["greedy"]["returns"])
    head = {"algorithm": config["algorithm"], "env": config["env"], "seeds": config["seeds"], "steps": steps}
    rest = {"agents": agents.num_agents, "episodes": episodes, "run": str(run.path)}
    rest |= of_scores(agents.algorithm.env, steps)
    return head | scores_of(figures["greedy"]) | rest | figures


def measured(measures: dict[str, np.ndarray]) -> dict[str, Any]:
    """The means of ``[A, episodes]`` measures; where the world has a goal, the share of episodes that reached it."""
    success = {"success_rate": float(measures["success"].mean())} if "success" in measures else {}
    return success | {"measures": {name: float(values.mean()) for name, values in measures.items()}}


def scores(agent_scores: np.ndarray) -> dict[str, Any]:
    """The figures of ``[A]`` scores under the names that every ``--json`` uses."""
    summary = summarise(agent_scores)
    return {
        "return_mean": summary["mean"],
        "return_iqm": summary["iqm"],
        "return_ci": summary["iqm_ci"],
        "intervals_meaningful": summary["intervals_meaningful"],
        "returns": agent_scores.tolist(),
    }


def sweep_table(config: dict[str, Any], returns: list[float]) -> list[dict[str, Any]]:
    """One row per combination of swept values, with the figures over its seeds."""
    seeds = config["seeds"]
    rows = []
    for first in range(0, len(returns), seeds):
        values = {name: config["agents"][first][name] for name in config["sweep"]}
        rows.append(values | scores(np.array(returns[first : first + seeds])))
    return rows


def scores_of(figures: dict[str, Any]) -> dict[str, Any]:
    """The main scores among ``figures``, those of greedy play, for the top level of the answer."""
    names = ("return_mean", "return_iqm", "return_ci", "intervals_meaningful", "success_rate", "measures")
    return {name: figures[name] for name in names if name in figures}


def play_episodes(agents: Agents, state: State, *, greedy: bool, episodes: int, seed: int) -> Played:
    """Whole episodes of every agent.

    Every world plays the same fixed number of episodes: counting whichever end first would favour the short ones.
    Worlds that are done play on until the last one is, and what they play then is not recorded.
    """
    env = for_scores(agents.algorithm.env)
    num_worlds = min(HOST_WORLDS, episodes) if isinstance(env, Simulated) else episodes
    quota = -(-episodes // num_worlds)

    def begin(swept, key):
        """Fresh worlds of one agent, results ``[worlds, quota]``, all unknown (NaN), and how many episodes ended."""
        worlds = start(vectorize(for_scores(agents.env(swept)), num_worlds), key)
        totals = (worlds.episode_return, worlds.episode_length, worlds.episode_measures)
        unknown = jax.tree.map(lambda _: jnp.full((num_worlds, quota), jnp.nan), totals)
        return worlds, unknown, jnp.zeros(num_worlds, jnp.int32)

    def advance(swept, agent_state, carry, key):
        """One step in all worlds of one agent; writes the totals of the episodes that end with it."""
        worlds, results, count = carry
        act_key, step_key = jax.random.split(key)
        action = agents.policy(swept, agent_state, greedy)(worlds.observation, act_key)
        env = vectorize(for_scores(agents.env(swept)), num_worlds)
        inner, timestep, observation = env.step(worlds.state, action, step_key)
        length = worlds.episode_length + 1
        measures = jax.tree.map(jnp.add, worlds.episode_measures, timestep.measures)
        totals = (worlds.episode_return + timestep.reward, length, measures)
        done = timestep.terminated | timestep.truncated | (length >= MAX_EPISODE_STEPS)
        place = jnp.arange(num_worlds), jnp.where(done, count, quota)  # an index past the end writes nothing
        results = jax.tree.map(lambda known, total: known.at[place].set(total, mode="drop"), results, totals)
        worlds = Worlds(inner, observation, *jax.tree.map(lambda total: jnp.where(done, 0, total), totals))
        return worlds, results, count + done

    # all agents, until the last world has played its episodes
    @jax.jit
    def program(swept: dict[str, Array], state: State, key: Array):
        begin_key, key = jax.random.split(key)
        carry = jax.vmap(begin)(swept, jax.random.split(begin_key, agents.num_agents))

        def body(loop):
            i, carry = loop
            keys = jax.random.split(jax.random.fold_in(key, i), agents.num_agents)
            return i + 1, jax.vmap(advance)(swept, state, carry, keys)

        def unfinished(loop):
            i, (_, _, count) = loop
            return (count < quota).any() & (i < quota * MAX_EPISODE_STEPS)

        _, (_, results, _) = jax.lax.while_loop(unfinished, body, (jnp.int32(0), carry))
        return results

    with simulation(env):
        results = program(agents.swept, state, jax.random.key(seed))
    results = jax.tree.map(lambda x: np.asarray(x).reshape(agents.num_agents, -1)[:, :episodes], results)
    returns, lengths, measures = results
    return Played(returns, lengths.astype(int), measures, int((lengths >= MAX_EPISODE_STEPS).sum()))
