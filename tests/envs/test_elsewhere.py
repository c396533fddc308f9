"""Names that other libraries use, and names without their prefix."""

import subprocess
import sys

import pytest

from puzzlebox.envs import make
from puzzlebox.errors import UsageError


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("CartPole", "did you mean CartPole-v1?"),
        ("CartPole-v9", "did you mean CartPole-v1?"),
        ("FrozenLake-v1", "did you mean gym:FrozenLake-v1?"),
        ("LunarLander", "did you mean gym:LunarLander?"),
        ("chess", "did you mean pgx:chess?"),
        ("maze", "did you mean grid/maze?"),
        ("arith", "arith is a task for language models, not a world"),
        ("arith,level=sum", "arith is a task for language models, not a world"),
    ],
)
def test_a_name_without_its_prefix(name, there):
    with pytest.raises(UsageError, match=there.replace("?", r"\?")):
        make(name)


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("ALE/SpaceInvaders-v5", "space_invaders"),
        ("PongNoFrameskip-v4", "pong"),
        ("Pong-ramNoFrameskip-v4", "pong"),
        ("pong", "pong"),
    ],
)
def test_what_gymnasium_calls_an_atari_game(name, game):
    pytest.importorskip("ale_py")
    with pytest.raises(UsageError, match=f"did you mean atari:{game}"):
        make(name)


def test_atari_by_gymnasium_is_told_its_name():
    """In a process of its own: ale-py registers its games with Gymnasium once it is imported."""
    pytest.importorskip("ale_py")
    code = "from puzzlebox.cli import main; raise SystemExit(main(['train', 'ppo', 'gym:ALE/Pong-v5']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean atari:pong?" in done.stderr


def test_a_console_game_by_its_first_word():
    pytest.importorskip("stable_retro")
    with pytest.raises(UsageError, match="or retro:SonicTheHedgehog2-Genesis-v0"):
        make("sonic")
