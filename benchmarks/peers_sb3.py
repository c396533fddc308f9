"""Stable-Baselines3 as a racer; the settings carry our names for the hyper-parameters."""

from __future__ import annotations

import stable_baselines3
import torch
from benchmarks.race import Row, serve
from stable_baselines3.common.env_util import make_vec_env


def ppo(h: Row, envs):
    return stable_baselines3.PPO(
        "MlpPolicy",
        envs,
        n_steps=h["num_steps"],
        batch_size=h["num_envs"] * h["num_steps"] // h["num_minibatches"],
        n_epochs=h["num_epochs"],
        learning_rate=h["learning_rate"],
        policy_kwargs={"net_arch": list(h["hidden"])},
        device="cpu",
    )


def dqn(h: Row, envs):
    return stable_baselines3.DQN(
        "MlpPolicy",
        envs,
        learning_rate=h["learning_rate"],
        buffer_size=h["capacity"],
        learning_starts=h["learning_starts"],
        batch_size=h["batch_size"],
        train_freq=h["num_steps"],
        gradient_steps=h["num_updates"],
        target_update_interval=h["target_every"] * h["num_steps"] * h["num_envs"],
        policy_kwargs={"net_arch": list(h["hidden"])},
        device="cpu",
    )


def prepare(settings: Row):
    torch.set_num_threads(settings["threads"])
    h = settings["hyperparameters"]
    envs = make_vec_env(settings["env"].removeprefix("gym:"), n_envs=h["num_envs"], seed=0)  # a DummyVecEnv
    model = {"ppo": ppo, "dqn": dqn}[settings["algorithm"]](h, envs)

    def work() -> int:
        before = model.num_timesteps
        model.learn(settings["steps"], reset_num_timesteps=False)
        return model.num_timesteps - before

    model.learn(max(2_000, h["num_envs"] * h.get("num_steps", 1), 2 * h.get("learning_starts", 0)))
    return work, {"version": stable_baselines3.__version__, "torch": torch.__version__, "threads": settings["threads"]}


if __name__ == "__main__":
    serve(prepare)
