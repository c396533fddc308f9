"""A run keeps what it was made from: it can be moved, a changed map changes no score, and strange code is not run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import puzzlebox
from puzzlebox.cli import main
from puzzlebox.envs import make
from puzzlebox.envs.own import name_of_own
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.evaluation.evaluate import evaluate
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run
from puzzlebox.runs.inputs import TRUST, check_trusted, imported_modules, located
from puzzlebox.training.train import resume, train

ROOT = Path(__file__).parents[2]
MAP = "S..G\n.#.H\n....\n"
WORLD = """
import equinox as eqx, gymnasium, jax.numpy as jnp, numpy as np
from beside import REWARD
from puzzlebox.fields import param
from puzzlebox.types import Timestep

class Spring(eqx.Module):
    stiffness: float = param(1.0, "of the spring", low=0.0)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)
    def step(self, state, action, key):
        done = state >= 4
        reward = REWARD * self.stiffness * action.astype(jnp.float32)
        return state + 1, Timestep(jnp.zeros(1), reward, done, jnp.bool_(False))
"""
SMALL = {"steps": 256, "num_envs": 2, "num_steps": 16, "episodes": 2, "quiet": True}


@pytest.fixture(autouse=True)
def a_user_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(TRUST, "everything", False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spring.py").write_text(WORLD)
    (tmp_path / "beside.py").write_text("REWARD = 2.0\n")
    (tmp_path / "my.txt").write_text(MAP)


def moved(tmp_path: Path, run: str) -> Path:
    """The run in another place, and everything it was made from gone."""
    target = tmp_path / "elsewhere" / "copy"
    shutil.copytree(run, target)
    for name in ("my.txt", "spring.py", "beside.py", "rows.jsonl"):
        (tmp_path / name).unlink(missing_ok=True)
    return target


def test_a_run_on_a_map_can_be_moved_and_a_changed_map_changes_nothing(tmp_path):
    train("q_learning", "grid:my.txt,step_reward=-1", run="a", steps=2048, num_envs=4, episodes=2, quiet=True)
    before = evaluate("a")["greedy"]["returns"]
    (tmp_path / "my.txt").write_text(MAP.replace("H", "."))
    assert evaluate("a")["greedy"]["returns"] == before
    copy = moved(tmp_path, "a")
    assert evaluate(copy)["greedy"]["returns"] == before
    assert located(Run.open(copy).config, copy)["env"].startswith(f"grid:{copy}/files/")


def test_ones_own_world_and_algorithm_train_resume_and_move(tmp_path):
    own = ROOT / "examples/own_ppo.py"
    figures = train(f"{own}:MyPPO", "spring.py:Spring,stiffness=3", run="a", **SMALL)
    assert figures["env"] == "spring.py:Spring,stiffness=3"
    assert max(figures["sampled"]["returns"]) <= 2.0 * 3 * 5  # five steps, each paid by what lies beside the file
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    assert resume("a", quiet=True)["greedy"] == figures["greedy"]
    assert evaluate(moved(tmp_path, "a"))["greedy"] == figures["greedy"]


def test_python_takes_the_class_and_the_world_themselves():
    from puzzlebox.envs.own import load_own

    kind, world = load_own(f"{ROOT / 'examples/own_ppo.py'}:MyPPO", "algorithm"), make("spring.py:Spring,stiffness=2")
    assert name_of_own(world).endswith("spring.py:Spring,stiffness=2.0")
    run = puzzlebox.load(train(kind, world, run="b", **SMALL)["run"])
    assert run.config["algorithm"].endswith("own_ppo.py:MyPPO")
    with pytest.raises(UsageError, match="is at the top of no file"):
        name_of_own(type("Typed", (), {"__module__": "__main__"}))


def test_code_of_a_stranger_is_not_run(tmp_path, monkeypatch, capsys):
    train("ppo", "spring.py:Spring", run="a", **SMALL)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody-else"))
    copy = moved(tmp_path, "a")
    marker = tmp_path / "it-ran"
    for file in (copy / "files").glob("*spring.py"):
        file.write_text(f"__import__('pathlib').Path({str(marker)!r}).touch()\n" + file.read_text())
    for words in (["evaluate"], ["resume"], ["doctor"], ["watch", "--no-terminal"]):
        assert main([words[0], str(copy), *words[1:]]) == 2
        assert "brings code along" in capsys.readouterr().err
    assert main(["plot", str(copy)]) == 0  # looking needs no code
    assert not marker.exists()
    assert main(["evaluate", str(copy), "--trust-code", "--episodes", "2"]) == 0
    assert marker.exists()


def test_a_reward_file_in_a_config_is_code_too(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "1+1=", "answer": "2"}) + "\n")
    (tmp_path / "evil.py").write_text(
        "__import__('pathlib').Path('ran').touch()\ndef score(completions): return [0.0] * len(completions)\n"
    )
    model = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=32,context=32"
    config = configure("grpo", "rows.jsonl", 1, 0, {"model": model, "max_tokens": 4})
    run = Run.create("a", config | {"env": "rows.jsonl,reward=evil.py:score", "episodes": 1})
    (run.path / "checkpoints").mkdir()
    with pytest.raises(UsageError, match="brings code along"):
        evaluate("a")
    assert not (tmp_path / "ran").exists()


def test_modules_are_hashed_and_not_imported(tmp_path, monkeypatch):
    """Not even the package around one, whose ``__init__`` would run."""
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "__init__.py").write_text("raise SystemExit('ran')\n")
    (tmp_path / "strange" / "worlds.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"algorithm": "ppo", "env": "gym:strange.worlds:Reach-v0"}
    assert [name for name, _ in imported_modules(config)] == ["strange", "strange.worlds"]
    with pytest.raises(UsageError, match="brings code along that would run now: strange;"):
        check_trusted(config, tmp_path)


def test_a_policy_in_python_takes_and_gives_numpy_arrays(tmp_path):
    figures = train("ppo", "CartPole-v1", run="c", seeds=2, **SMALL)
    run = puzzlebox.load("c")
    one = run.policy(np.zeros(4))
    assert one.shape == () and one.dtype == np.int32
    batch = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert run.policy(batch).shape == (50,)
    assert [run.policy(x) for x in batch[:5]] == run.policy(batch)[:5].tolist()
    assert len({tuple(run.policy(batch, greedy=False, seed=s).tolist()) for s in range(3)}) == 3
    assert run.metrics["episode_return"].shape == (len(run.metrics["steps"]), 2)
    assert run.figures["return_iqm"] == figures["return_iqm"] and "ppo on CartPole-v1" in repr(run)
    with pytest.raises(UsageError, match=r"shape \(3,\)"):
        run.policy(np.zeros(3))
    with pytest.raises(UsageError, match="agents 0 to 1"):
        run.policy(np.zeros(4), agent=2)
    with pytest.raises(UsageError, match="writes nothing"):
        run.generate("a")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.py:A", "world file 'gone.py' does not exist"),
        ("spring.py:Sprong", "unknown world in spring.py 'Sprong'; did you mean Spring"),
        ("spring.py:REWARD", "is no world: it lacks observation_space"),
        ("spring.py:Spring,stifness=1", "unknown option of spring.py:Spring 'stifness'; did you mean stiffness"),
        ("spring.py:Spring,stiffness=-1", "stiffness is -1.0; it must be at least 0"),
    ],
)
def test_a_world_that_is_none_is_refused_in_a_line(name, message):
    with pytest.raises(UsageError, match=message):
        make(name)


def test_a_file_that_fails_says_where(tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\nraise NameError('y')\n")
    with pytest.raises(PuzzleboxError, match=r"world file .*broken.py' failed: NameError: y \(broken.py, line 2\)"):
        make("broken.py:A")
    (tmp_path / "typo.py").write_text("def f(:\n")
    with pytest.raises(PuzzleboxError, match=r"failed: SyntaxError: .* \(typo.py, line 1\)"):
        make("typo.py:A")
    with pytest.raises(UsageError, match="is no algorithm: it lacks env, steps, iteration_steps, init, policy"):
        train("spring.py:Spring", "CartPole-v1", run="x")


def test_the_example_is_ppo_but_for_one_line():
    ours, example = ((ROOT / f).read_text().splitlines() for f in
                     ("src/puzzlebox/algorithms/deep/ppo.py", "examples/own_ppo.py"))  # fmt: skip
    ours, example = ours[ours.index("from __future__ import annotations") :], example[example.index("from __future__ import annotations") :]  # fmt: skip  # noqa: E501
    changed = [new for old, new in zip(ours, example, strict=True) if old != new]
    assert [line.strip() for line in changed] == [
        "from puzzlebox.ops.value_losses import huber",
        "class MyPPO(eqx.Module):",
        'check_actor("MyPPO", self.env.action_space)',
        "value_loss = huber(value, target).mean()",
    ]
