"""MinAtar as a world: what Pgx's rules say arrives whole, and an episode without end is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pgx_minatar.breakout import MinAtarBreakout

from puzzlebox.envs import make
from puzzlebox.envs.minatar import COLOURS, GAMES
from puzzlebox.errors import UsageError


def test_steps_are_those_of_pgx():
    env, rules = make("minatar:breakout,sticky=0"), MinAtarBreakout(sticky_action_prob=0.0)
    assert env.observation_space.shape == (10, 10, 4)
    assert env.action_space.n == 3

    def play(key):
        def step(states, key):
            ours, theirs = states
            action = jax.random.randint(key, (), 0, 3)
            ours, timestep = env.step(ours, action, key)
            theirs = rules.step(theirs, action, key)
            same = (timestep.observation == theirs.observation).all() & (timestep.reward == theirs.rewards[0])
            return (ours, theirs), (same & (timestep.terminated == theirs.terminated), timestep.terminated)

        return jax.lax.scan(step, (env.reset(key)[0], rules.init(key)), jax.random.split(key, 60))[1]

    same, terminated = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 8))
    assert same.all()
    assert terminated.any()


def test_an_episode_is_cut_but_not_where_it_ends():
    env = make("minatar:breakout,max_steps=3")
    step = jax.jit(env.step)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    cut = []
    for _ in range(3):
        state, timestep = step(state, jnp.int32(0), jax.random.key(0))
        cut.append((bool(timestep.terminated), bool(timestep.truncated)))
    assert cut == [(False, False), (False, False), (False, True)]


def test_a_picture_shows_the_planes():
    env = make("minatar:breakout")
    state, observation = jax.jit(env.reset)(jax.random.key(0))
    picture = env.render(state)[::32, ::32]
    for plane in (0, 3):  # paddle, bricks
        row, column = np.argwhere(np.asarray(observation)[..., plane])[0]
        assert picture[row, column].tolist() == COLOURS[plane].tolist()
    assert (picture[8] == 20).all()


def test_the_games_are_the_papers():
    """Planes and actions that do something, as Young & Tian 2019 and MinAtar's own code have them."""
    worlds = {game: make(f"minatar:{game}") for game in GAMES}
    assert {game: (env.observation_space.shape[2], env.action_space.n) for game, env in worlds.items()} == {
        "asterix": (4, 5),
        "breakout": (4, 3),
        "freeway": (7, 3),
        "seaquest": (10, 6),
        "space_invaders": (6, 4),
    }


def test_names_and_options_that_do_not_exist():
    with pytest.raises(UsageError, match="unknown MinAtar game 'brekout'; did you mean breakout"):
        make("minatar:brekout")
    with pytest.raises(UsageError, match="sticky"):
        make("minatar:breakout,sticky=2")
    with pytest.raises(UsageError, match="as a world: minatar:freeway"):
        make("pgx:minatar-freeway")
