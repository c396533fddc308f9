"""What is said while something long runs."""

import math

from puzzlebox.runs.progress import TrainingProgress


def test_the_last_return_stays_where_no_episode_ended(capsys):
    with TrainingProgress("ppo on atari:pong", 2, num_agents=2, live=False) as progress:
        for returns in ([math.nan, math.nan], [-20.0, -21.0], [math.nan, math.nan]):
            progress.update(2, 76.7, {"episode_return": returns})  # the last step: a line each time
    lines = capsys.readouterr().err.splitlines()[1:]
    assert [line.split(" · ")[2] for line in lines] == ["no episode yet", "return -20.5", "return -20.5"]
