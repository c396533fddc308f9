"""Stable-Baselines3 as a racer; the settings carry our names for the hyper-parameters."""

from __future__ import annotations

import stable_baselines3
import torch
from benchmarks.race import Row, serve
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

ATARI = {"terminal_on_life_loss": False, "action_repeat_probability": 0.25}  # the rest as ours by default


def worlds(name: str, number: int):
    """A DummyVecEnv; of an Atari game four grey frames of 84 × 84."""
    kind, _, game = name.rpartition(":")
    if kind != "atari":
        return make_vec_env(game, n_envs=number, seed=0)
    import ale_py  # noqa: F401 (registers its games)

    game = f"{game.title()}NoFrameskip-v4"  # the wrapper skips frames and repeats actions
    return VecFrameStack(make_atari_env(game, n_envs=number, seed=0, wrapper_kwargs=ATARI), 4)


def ppo(h: Row, envs):
    pictures = len(envs.observation_space.shape) == 3
    return stable_baselines3.PPO(
        "CnnPolicy" if pictures else "MlpPolicy",
        envs,
        n_steps=h["num_steps"],
        batch_size=h["num_envs"] * h["num_steps"] // h["num_minibatches"],
        n_epochs=h["num_epochs"],
        learning_rate=h["learning_rate"],
        clip_range=h.get("clip_ratio", 0.2),
        policy_kwargs=None if pictures else {"net_arch": list(h["hidden"])},
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
    envs = worlds(settings["env"], h["num_envs"])
    model = {"ppo": ppo, "dqn": dqn}[settings["algorithm"]](h, envs)

    def work() -> int:
        before = model.num_timesteps
        model.learn(settings["steps"], reset_num_timesteps=False)
        return model.num_timesteps - before

    model.learn(max(2_000, h["num_envs"] * h.get("num_steps", 1), 2 * h.get("learning_starts", 0)))
    return work, {"version": stable_baselines3.__version__, "torch": torch.__version__, "threads": settings["threads"]}


if __name__ == "__main__":
    serve(prepare)
