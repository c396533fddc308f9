"""rejax as a racer, with its evaluation during training switched off; the settings carry our names.

rejax 0.1.3 needs gymnax 0.0.9: later ones return six values from a step.
"""

from __future__ import annotations

import time
from importlib import metadata

import jax
import rejax
from benchmarks.race import Row, serve


def ppo(h: Row) -> Row:
    names = ("num_envs", "num_steps", "num_epochs", "num_minibatches", "learning_rate")
    agent = {"hidden_layer_sizes": tuple(h["hidden"]), "activation": "tanh"}
    return {name: h[name] for name in names} | {"max_grad_norm": 0.5, "agent_kwargs": agent}


def dqn(h: Row) -> Row:
    return {
        "num_envs": h["num_envs"] * h["num_steps"],
        "num_epochs": h["num_updates"],
        "batch_size": h["batch_size"],
        "learning_rate": h["learning_rate"],
        "buffer_size": h["capacity"],
        "fill_buffer": h["learning_starts"],
        "target_update_freq": h["target_every"] * h["num_envs"] * h["num_steps"],
        "polyak": 0.0,
        "ddqn": False,
        "max_grad_norm": 10.0,
        "agent_kwargs": {"activation": "relu"},  # its layers are 64, 64
    }


def prepare(settings: Row):
    h = settings["hyperparameters"]
    values = {"ppo": ppo, "dqn": dqn}[settings["algorithm"]](h)
    per_iteration = h["num_envs"] * h["num_steps"]
    steps = -(-settings["steps"] // per_iteration) * per_iteration
    algorithm = rejax.get_algo(settings["algorithm"]).create(
        env=settings["env"], total_timesteps=steps, eval_freq=steps, skip_initial_evaluation=True, **values
    )
    algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: ())
    began = time.perf_counter()
    state = jax.jit(algorithm.init_state)(jax.random.key(0))
    train = jax.jit(lambda state: algorithm.train(train_state=state)[0], donate_argnums=0).lower(state).compile()
    compile_seconds = time.perf_counter() - began

    def work() -> int:
        nonlocal state
        state = jax.block_until_ready(train(state))
        return steps

    work()
    versions = {"version": metadata.version("rejax"), "gymnax": metadata.version("gymnax")}
    return work, {"compile_seconds": round(compile_seconds, 1)} | versions


if __name__ == "__main__":
    serve(prepare)
