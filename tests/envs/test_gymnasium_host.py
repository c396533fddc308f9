"""Gymnasium's environments inside compiled steps, against the same environments stepped by hand."""

import os
import signal
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import gymnasium_pool, host, make
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.gymnasium_host import HostEnvironment
from puzzlebox.envs.host import simulation
from puzzlebox.envs.table import TableWorld
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import PuzzleboxError, UsageError


class Reporter(gymnasium.Env):
    """Three kinds of ending; observes (seed, episode, time); pays the action; breaks at action 9."""

    observation_space = gymnasium.spaces.Box(0, 2.0**32, (3,), np.float64)
    action_space = gymnasium.spaces.Discrete(8, start=2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, length=3, render_mode=None):
        self.length, self.render_mode, self.episode, self.seed = length, render_mode, 0, None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.episode, self.time = self.episode + 1, 0
        return self._see(), {}

    def step(self, action):
        if action == 9:
            raise ValueError("nine\nis too much")
        self.time += 1
        ending = ("terminated", "truncated", "both")[(self.episode - 1) % 3] if self.time == self.length else ""
        return self._see(), float(action), ending in ("terminated", "both"), ending in ("truncated", "both"), {}

    def render(self):
        return np.full((4, 4, 3), self.time, np.uint8)

    def _see(self):
        return np.array([self.seed % 1000, self.episode, self.time], np.float64)


class Pictures(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 5, 3), np.uint8)
    action_space = gymnasium.spaces.Box(np.float32([-1, 0]), np.float32([1, 3]))

    def reset(self, *, seed=None, options=None):
        return np.zeros((4, 5, 3), np.uint8), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.full((4, 5, 3), 200, np.uint8), float(action.sum()), False, False, {}


class Odd(Pictures):
    observation_space = gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))


@pytest.fixture(autouse=True)
def own_environments():
    for name, entry in {
        "Reporter-v0": Reporter,
        "Reporter-v2": Reporter,
        "Pictures-v0": Pictures,
        "Odd-v0": Odd,
    }.items():
        gymnasium.register(f"box/{name}", entry_point=entry)
    yield
    gymnasium_pool.close_all()
    for name in ("Reporter-v0", "Reporter-v2", "Pictures-v0", "Odd-v0"):
        del gymnasium.registry[f"box/{name}"]


def _drive(env, num_envs, actions, key):
    """Every agent's timesteps and next observations, leaves [A, T, B, ...]; ``actions`` is [A, T, B, ...]."""
    many = vectorize(env, num_envs)

    @jax.jit
    @jax.vmap
    def run(key, actions):
        state, start = many.reset(key)

        def move(state, action):
            state, timestep, observation = many.step(state, action, key)
            return state, (timestep, observation)

        return start, *jax.lax.scan(move, state, actions)[1]

    return jax.device_get(run(jax.random.split(key, len(actions)), actions))


def _by_hand(name, actions, key, **options):
    """The same by plain loops over Gymnasium's environments."""
    rows = []
    for agent_key, agent_actions in zip(jax.random.split(key, len(actions)), actions, strict=True):
        num_envs = agent_actions.shape[1]
        for b, seed in enumerate(np.asarray(jax.random.bits(agent_key, (num_envs,), jnp.uint32))):
            env = gymnasium.make(name, **options)
            env.reset(seed=int(seed))
            for action in agent_actions[:, b]:
                observation, reward, terminated, truncated, _ = env.step(action)
                following = env.reset()[0] if terminated or truncated else observation
                rows.append((observation, reward, terminated, truncated and not terminated, following))
    a, t, b = actions.shape[:3]
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    return [np.moveaxis(column.reshape(a, b, t, *column.shape[1:]), 1, 2) for column in columns]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_as_gymnasium_by_hand(workers):
    actions, key = np.random.default_rng(0).integers(0, 2, (2, 60, 3), np.int32), jax.random.key(7)
    env = make(f"gym:CartPole-v1,max_episode_steps=12,workers={workers}")
    _, timestep, following = _drive(env, 3, actions, key)
    expected = _by_hand("CartPole-v1", actions, key, max_episode_steps=12)
    for ours, theirs in zip((*timestep[:4], following), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(ours.dtype))
    assert timestep.terminated.any() and timestep.truncated.any()
    assert timestep.observation.dtype == np.float32


def test_endings_seeds_and_restarts_worked_by_hand():
    _, timestep, following = _drive(make("gym:box/Reporter-v0"), 2, np.zeros((2, 9, 2), np.int32), jax.random.key(0))
    assert timestep.observation[0, :, 0, 1:].tolist() == [[e, t] for e in (1, 2, 3) for t in (1, 2, 3)]
    assert following[0, :, 0, 1:].tolist() == [[1, 1], [1, 2], [2, 0], [2, 1], [2, 2], [3, 0], [3, 1], [3, 2], [4, 0]]
    assert np.flatnonzero(timestep.terminated[0, :, 0]).tolist() == [2, 8]
    assert np.flatnonzero(timestep.truncated[0, :, 0]).tolist() == [5]
    assert (timestep.reward == 2).all()  # action 0 is their 2, where the space starts
    assert len(np.unique(timestep.observation[:, 0, :, 0])) == 4


def test_one_call_steps_all_agents(monkeypatch):
    calls = []
    inner = host._on_host
    monkeypatch.setattr(host, "_on_host", lambda *a: calls.append(a[1]) or inner(*a))
    _drive(make("gym:box/Reporter-v0"), 2, np.zeros((5, 4, 2), np.int32), jax.random.key(0))
    assert calls == ["reset"] + ["step"] * 4


def test_agents_of_agents_and_a_loop():
    many = vectorize(make("gym:box/Reporter-v0"), 2)

    def run(key):
        state, _ = many.reset(key)

        def move(carry):
            time, state, total = carry
            state, timestep, _ = many.step(state, jnp.full(2, time), key)
            return time + 1, state, total + timestep.reward

        return jax.lax.while_loop(lambda carry: carry[0] < 5, move, (0, state, jnp.zeros(2)))[2]

    totals = jax.jit(jax.vmap(jax.vmap(run)))(jax.random.split(jax.random.key(0), (2, 3)))
    np.testing.assert_array_equal(totals, np.full((2, 3, 2), 2 + 3 + 4 + 5 + 6))


@pytest.mark.parametrize("name", ["Blackjack-v1", "Pendulum-v1", "MountainCarContinuous-v0", "box/Pictures-v0"])
def test_worlds_are_sound(name):
    check_environment(make(f"gym:{name}"), steps=30)


def test_blackjack_is_one_index():
    env = make("gym:Blackjack-v1")
    assert env.observation_space == gymnasium.spaces.Discrete(32 * 11 * 2)
    actions, key = np.zeros((1, 20, 4), np.int32), jax.random.key(3)
    _, timestep, _ = _drive(env, 4, actions, key)
    theirs = _by_hand("Blackjack-v1", actions, key)[0]
    hand, dealer, ace = np.moveaxis(theirs, -1, 0)
    np.testing.assert_array_equal(timestep.observation, hand * 22 + dealer * 2 + ace)


def test_pictures_stay_bytes_and_actions_are_clipped():
    _, timestep, _ = _drive(make("gym:box/Pictures-v0"), 2, np.full((1, 3, 2, 2), 5, np.float32), jax.random.key(0))
    assert timestep.observation.dtype == np.uint8 and (timestep.observation == 200).all()
    assert (timestep.reward == 1 + 3).all()


def test_a_task_with_a_table_becomes_a_pure_world_unless_asked_otherwise():
    assert isinstance(make("gym:FrozenLake-v1,is_slippery=false"), TableWorld)
    env = make("gym:FrozenLake-v1,is_slippery=false,host=true,map_name=8x8")
    assert env == HostEnvironment("FrozenLake-v1", (("is_slippery", False), ("map_name", "8x8")))
    assert env.observation_space.n == 64
    down = np.full((1, 7, 2), 1, np.int32)
    assert _drive(env, 2, down, jax.random.key(0))[1].observation[0, :, 0].tolist() == [8, 16, 24, 32, 40, 48, 56]


def test_without_a_version_the_newest_is_taken():
    assert make("gym:box/Reporter") == HostEnvironment("box/Reporter-v2")


WRONG = {
    "gym:box/Reporter-v1": r"unknown .*'gym:box/Reporter-v1'; Gymnasium \S+ has gym:box/Reporter-v0 and gym:box",
    "gym:CartPool-v1": "unknown environment 'gym:CartPool-v1'; did you mean gym:CartPole-v1",
    "gym:no_module:Task-v0": "the module no_module, which cannot be imported: No module named 'no_module'$",
    "gym:CartPole-v1,colour=3": "gym:CartPole-v1 cannot be made: TypeError: .*'colour'",
    "gym:CartPole-v1,workers=-1": "workers is -1; it must be a whole number",
    "gym:CartPole-v1,workers=two": "workers is two; it must be a whole number",
    "gym:FrozenLake-v1,desc=[1]": r"desc is \[1\]; an option here is a number, true, false or a text",
    "gym:CartPole-v1,host=3": "host is 3; it must be true or false",
    "gym:box/Odd-v0": "gym:box/Odd-v0 has observations of type Sequence, which have no fixed size; only",
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_name_or_option_is_one_clear_line(name):
    with pytest.raises(UsageError, match=WRONG[name]) as caught:
        make(name)
    assert "\n" not in str(caught.value)


BROKEN = {
    "x = undefined": r"NameError: name 'undefined' is not defined \(.*broken.py, line 1\)",
    "def f(:": r"SyntaxError: .* \(.*broken.py, line 1\)",
    "import os\nopen('robot.xml')": r"FileNotFoundError: .*robot.xml' \(.*broken.py, line 2\)",
    "raise SystemExit(3)": r"SystemExit: 3 \(.*broken.py, line 1\)",
    "import no_such_thing": r"ModuleNotFoundError: No module named 'no_such_thing' \(.*broken.py, line 1\)",
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_module_that_fails_names_its_line(source, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=f"asks for the module broken, which cannot be imported: {BROKEN[source]}$"):
        make("gym:broken:X-v0")


def test_a_module_that_lies_here_but_is_not_on_the_path(tmp_path, monkeypatch):
    (tmp_path / "lies_here.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with pytest.raises(UsageError, match=r"; lies_here.py lies here, so set PYTHONPATH=\.$"):
        make("gym:lies_here:X-v0")


def test_missing_spaces_are_named():
    class NoSpaces(gymnasium.Env):
        pass

    gymnasium.registry["box/Pictures-v0"].entry_point = NoSpaces
    with pytest.raises(UsageError, match=r"box/Pictures-v0 has no observation_space; set .* NoSpaces in .*\.py$"):
        make("gym:box/Pictures-v0")


@pytest.mark.parametrize(("part", "extra"), [("box2d", r"puzzlebox\[box2d\]"), ("mujoco", r"puzzlebox\[mujoco\]")])
def test_a_missing_package_names_its_extra(part, extra, monkeypatch):
    def fail(*arguments, **options):
        raise gymnasium.error.DependencyNotInstalled("not here")

    name = {"box2d": "LunarLander-v3", "mujoco": "Hopper-v5"}[part]
    monkeypatch.setattr(gymnasium, "make", fail)
    with pytest.raises(UsageError, match=f"is not installed; get it with: pip install '{extra}'"):
        make(f"gym:{name}")


def test_a_fault_inside_the_environment_is_one_line(capfd):
    many = vectorize(make("gym:box/Reporter-v0"), 2)
    state, _ = many.reset(jax.random.key(0))
    message = r"^gym:box/Reporter-v0 failed in step: ValueError: nine is too much \(.*_gymnasium_host.py, line \d+\)$"
    with pytest.raises(PuzzleboxError, match=message), simulation(many):
        jax.block_until_ready(jax.jit(many.step)(state, jnp.full(2, 7), jax.random.key(0)))
    assert "Traceback" not in capfd.readouterr().err


def test_closed_worlds_say_so_and_can_be_made_again():
    env = make("gym:box/Reporter-v0")
    many = vectorize(env, 2)
    state, _ = many.reset(jax.random.key(0))
    env.close()
    with pytest.raises(PuzzleboxError, match="worlds of this state are gone"), simulation(many):
        jax.block_until_ready(many.step(state, jnp.zeros(2), jax.random.key(0)))
    state, _ = many.reset(jax.random.key(0))
    assert many.step(state, jnp.zeros(2), jax.random.key(0))[1].reward.tolist() == [2, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_temporary_worlds_are_closed_and_others_stay(workers):
    many = vectorize(make(f"gym:CartPole-v1,workers={workers}"), 2)
    kept, _ = many.reset(jax.random.key(0))
    with simulation(many):
        gone, _ = many.reset(jax.random.key(1))
    with pytest.raises(PuzzleboxError, match="worlds of this state are gone"), simulation(many):
        jax.block_until_ready(many.step(gone, jnp.zeros(2), jax.random.key(0)))
    assert many.step(kept, jnp.zeros(2), jax.random.key(0))[1].reward.tolist() == [1, 1]


def test_a_dead_worker_is_told_and_leaves_no_process_behind():
    env = make("gym:CartPole-v1,workers=2")
    many = vectorize(env, 3)
    state, _ = many.reset(jax.random.key(0))
    processes = [part.process for part in gymnasium_pool._POOLS[env].parts]
    os.kill(processes[1].pid, signal.SIGKILL)
    with pytest.raises(PuzzleboxError, match="a worker process of gym:CartPole-v1 died"), simulation(many):
        jax.block_until_ready(many.step(state, jnp.zeros(3), jax.random.key(0)))
    env.close()
    assert all(process.poll() is not None for process in processes)


def test_an_environment_that_cannot_travel_to_a_worker():
    class Local(Pictures):
        pass

    gymnasium.registry["box/Pictures-v0"].entry_point = Local
    many = vectorize(make("gym:box/Pictures-v0,workers=1"), 2)
    with pytest.raises(PuzzleboxError, match="register it with an entry point like 'module:Class'"), simulation(many):
        jax.block_until_ready(many.reset(jax.random.key(0)))


def test_one_environment_to_watch():
    world = make("gym:box/Reporter-v0,length=5").single(render_mode="rgb_array")
    observation, _ = world.reset(seed=4)
    assert observation.dtype == np.float32 and observation.tolist() == [4, 1, 0]
    observation, reward, terminated, truncated, _ = world.step(np.int32(3))
    assert (observation.tolist(), reward, terminated, truncated) == ([4, 1, 1], 5.0, False, False)
    assert world.render().max() == 1
    world.close()


ONE_CORE = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp
from puzzlebox.envs import make
from puzzlebox.envs.vector import vectorize
many = vectorize(make("gym:CartPole-v1"), 4)
@jax.jit
@jax.vmap
def run(key):
    def move(carry, key):
        state, observation = carry
        state, timestep, observation = many.step(state, (observation[:, 2] > 0).astype(jnp.int32), key)
        return (state, observation), timestep.reward
    return jax.lax.scan(move, many.reset(key), jax.random.split(key, 2000))[1].sum()
print(run(jax.random.split(jax.random.key(0), 3)).sum())
"""


def test_thousands_of_calls_on_one_core_never_block():
    done = subprocess.run([sys.executable, "-c", ONE_CORE], capture_output=True, text=True, timeout=100, check=True)
    assert float(done.stdout) == 2000 * 4 * 3
