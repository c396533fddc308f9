"""MinAtar's own Breakout, in NumPy, and ours play the same game."""

import jax
import numpy as np
import pytest

from puzzlebox.envs import make

original = pytest.importorskip("minatar.environments.breakout")
ACTIONS = (0, 1, 3)  # ours among the six of the original: nothing, left, right


def test_breakout_is_the_originals():
    env = make("minatar:breakout,sticky=0")
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    random = np.random.default_rng(0)
    rewards, ends = 0.0, 0
    for seed in range(12):
        state, observation = reset(jax.random.key(seed))
        theirs = original.Env()
        while not np.array_equal(theirs.state(), observation):  # the ball starts on the left or on the right
            theirs.reset()
        for _ in range(200):
            ball, paddle = np.argwhere(observation[..., 1])[0][1], np.argwhere(observation[..., 0])[0][1]
            follows = 0 if ball == paddle else 1 + int(ball > paddle)
            action = int(random.choice([follows, random.integers(3)], p=[0.8, 0.2]))
            state, timestep = step(state, action, jax.random.key(0))
            reward, over = theirs.act(ACTIONS[action])
            observation = np.asarray(timestep.observation)
            assert (float(timestep.reward), bool(timestep.terminated)) == (reward, over)
            np.testing.assert_array_equal(observation, theirs.state())
            rewards, ends = rewards + reward, ends + over
            if over:
                break
    assert rewards > 10
    assert ends > 2
