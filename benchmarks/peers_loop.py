"""PPO on Atari as one plain PyTorch loop, in the manner of CleanRL's single files, as a racer.

The worlds are Stable-Baselines3's, the network and the settings everybody's: three convolutions, 512 units, a head each
for actor and critic.
"""

from __future__ import annotations

import numpy as np
import torch
from benchmarks.conv_torch import torso
from benchmarks.peers_sb3 import worlds
from benchmarks.race import Row, serve
from torch import nn
from torch.distributions import Categorical
from torch.nn.functional import mse_loss


class Network(nn.Module):
    def __init__(self, actions: int, hidden: int):
        super().__init__()
        self.torso = torso(hidden)
        self.actor, self.critic = nn.Linear(hidden, actions), nn.Linear(hidden, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        x = self.torso(pictures.float() / 255.0)
        return Categorical(logits=self.actor(x)), self.critic(x)[:, 0]


def iteration(h: Row, envs, net: Network, optimiser: torch.optim.Optimizer, seen: torch.Tensor) -> torch.Tensor:
    """Collects ``num_steps`` in every world and learns from them; returns what is seen next."""
    rows, discount, decay = [], 0.99, 0.95
    for _ in range(h["num_steps"]):
        with torch.no_grad():
            distribution, value = net(seen)
            action = distribution.sample()
            log_prob = distribution.log_prob(action)
        pictures, reward, done, _ = envs.step(action.numpy())
        done = torch.as_tensor(done, dtype=torch.float32)
        rows.append((seen, action, log_prob, value, torch.as_tensor(reward), done))
        seen = torch.as_tensor(np.moveaxis(pictures, -1, 1))
    observation, action, log_prob, value, reward, done = map(torch.stack, zip(*rows, strict=True))
    with torch.no_grad():
        following, advantage = net(seen)[1], torch.zeros_like(reward)
    last = torch.zeros_like(following)
    for t in reversed(range(h["num_steps"])):
        error = reward[t] + discount * (1 - done[t]) * following - value[t]
        last = advantage[t] = error + discount * decay * (1 - done[t]) * last
        following = value[t]
    batch = [x.flatten(0, 1) for x in (observation, action, log_prob, advantage, advantage + value)]
    for _ in range(h["num_epochs"]):
        for chosen in torch.randperm(len(batch[0])).chunk(h["num_minibatches"]):
            learn(h, net, optimiser, *(x[chosen] for x in batch))
    return seen


def learn(
    h: Row, net: Network, optimiser: torch.optim.Optimizer, seen, action, old_log_prob, advantage, target
) -> None:
    distribution, value = net(seen)
    ratio = (distribution.log_prob(action) - old_log_prob).exp()
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    clipped = ratio.clamp(1 - h["clip_ratio"], 1 + h["clip_ratio"])
    loss = -torch.min(ratio * advantage, clipped * advantage).mean() + 0.5 * mse_loss(value, target)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    optimiser.step()


def prepare(settings: Row):
    torch.set_num_threads(settings["threads"])
    h = settings["hyperparameters"]
    envs = worlds(settings["env"], h["num_envs"])
    net = Network(envs.action_space.n, h["hidden"][0])
    optimiser = torch.optim.Adam(net.parameters(), h["learning_rate"], eps=1e-5)
    seen = torch.as_tensor(np.moveaxis(envs.reset(), -1, 1))
    size = h["num_envs"] * h["num_steps"]

    def work() -> int:
        nonlocal seen
        for _ in range(settings["steps"] // size):
            seen = iteration(h, envs, net, optimiser, seen)
        return settings["steps"] // size * size

    work()
    return work, {"torch": torch.__version__, "threads": settings["threads"]}


if __name__ == "__main__":
    serve(prepare)
