import json

import numpy as np
import pytest
from PIL import Image

from puzzlebox.cli import main
from puzzlebox.errors import UsageError
from puzzlebox.pictures import figures, plots
from puzzlebox.runs.directory import Run
from puzzlebox.stats import intervals as statistics


@pytest.fixture
def run(tmp_path):
    """A run of 2 swept values × 3 seeds with 20 points."""
    path = tmp_path / "run"
    path.mkdir()
    sweep = {"learning_rate": [1e-4, 1e-2]}
    agents = [{"seed": seed, "learning_rate": value} for value in sweep["learning_rate"] for seed in range(3)]
    config = {"format": 1, "algorithm": "ppo", "env": "CartPole-v1", "seeds": 3, "steps": 2000, "sweep": sweep}
    (path / "config.json").write_text(json.dumps(config | {"agents": agents}))
    rows = [
        {
            "steps": 100 * i,
            "seconds": i,
            "entropy": [0.5] * 6,
            "episode_return": [None if i == 1 else i + a for a in range(6)],
        }
        for i in range(1, 21)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    greedy = {"episode_returns": [[float(a), a + 2.0] for a in range(6)]}
    (path / "evaluation.json").write_text(json.dumps({"episodes": 2, "greedy": greedy, "sampled": greedy}))
    return path


def test_plot_run_writes_the_curve_and_the_sweep(run):
    files = plots.plot_run(run)
    assert [file.name for file in files] == ["learning_curve.png", "learning_curve.svg", "sweep.png", "sweep.svg"]
    for png in files[::2]:
        with Image.open(png) as image:
            assert image.width > 1000
            assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 50  # not an empty page
    assert b"<svg" in files[1].read_bytes()[:500]


def test_plots_of_several_runs(run, tmp_path):
    files = plots.plot_runs([run, run], tmp_path / "out" / "both.png") + plots.plot_scores(
        [run, run], tmp_path / "scores"
    )
    assert [file.name for file in files] == ["both.png", "both.svg", "scores.png", "scores.svg"]
    assert all(file.stat().st_size > 5000 for file in files)


def test_the_commands_name_their_files(run, tmp_path, capsys):
    assert main(["plot", str(run), "--metric", "entropy"]) == 0
    drawn = ("entropy.png", "entropy.svg", "sweep.png", "sweep.svg")
    assert capsys.readouterr().out.splitlines() == [str(run / name) for name in drawn]
    assert main(["compare", str(run), "--out", str(tmp_path / "out")]) == 0
    sentence, *files = capsys.readouterr().out.splitlines()
    assert "cannot be told apart on CartPole-v1" in sentence  # three seeds each
    assert files == [str(tmp_path / "out" / name) for name in ("curves.png", "curves.svg", "scores.png", "scores.svg")]
    assert main(["compare", str(run), "--sampled", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["mode"] == "sampled" and "pictures" not in figures


def test_the_same_picture_is_the_same_file(run):
    first = plots.plot_run(run)[1].read_bytes()
    assert plots.plot_run(run)[1].read_bytes() == first


def test_another_metric_and_one_that_was_not_logged(run):
    assert plots.plot_run(run, "entropy")[0].name == "entropy.png"
    with pytest.raises(UsageError, match="no points of 'loss'; it logged: entropy, episode_return"):
        plots.plot_run(run, "loss")


@pytest.mark.parametrize(("suffix", "magic"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_several_runs_become_one_figure(run, tmp_path, suffix, magic, capsys):
    file = tmp_path / "new" / f"figure.{suffix}"
    flags = ["--metric", "entropy", "--smooth", "3", "--log", "--title", "Both", "--out", str(file)]
    assert main(["plot", str(run), str(run), *flags]) == 0
    assert capsys.readouterr().out.splitlines() == [str(file)]
    assert [path.name for path in file.parent.iterdir()] == [file.name] and file.read_bytes()[:5].startswith(magic)


def test_the_one_figure_shows_what_was_asked(run):
    figure = plots.runs_figure([Run.open(run), Run.open(run)], "episode_return", smooth=2, log=True, title="Both")
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Both" and axes.get_yscale() == "log"
    named = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert len(named) == 4 and [text.get_text() for text in figure.legends[0].get_texts()] == list(named)
    # Agents 0 to 2 of the first run measured i + 0, 1, 2 from the second point on: IQM i + 1, and the mean of two.
    x, y = named["ppo (run) #1, learning rate 0.0001"].get_data()
    np.testing.assert_allclose(x[:3], [200, 300, 400])
    np.testing.assert_allclose(y[:3], [3, 3.5, 4.5])


def test_smoothing_by_hand():
    nan = np.nan
    smooth = plots.smoothed(np.array([[nan, 1.0], [2.0, 3.0], [6.0, 8.0], [1.0, 1.0]]), 3)
    np.testing.assert_allclose(smooth, [[nan, 1.0], [2.0, 2.0], [4.0, 4.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "figure.jpeg"], "its suffix must be one of .pdf, .svg, .png"),
        (["--out", "figure.pdf", "--smooth", "0"], "smooth is 0; it must be at least 1"),
        (["--out", "figure.pdf", "--log"], "--log needs values above 0, and episode_return goes down to -18"),
        (["--log"], "say where it goes: --out FILE.pdf"),
    ],
)
def test_one_figure_that_cannot_be(flags, message, run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(rows.replace("[2, 3, 4,", "[-18, 3, 4,"))
    assert main(["plot", str(run), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not list(tmp_path.glob("figure*"))


def test_equal_values_of_a_sweep_stand_at_one_place_and_scores_share_their_axis():
    lines = {f"clip {c}": [(v, np.arange(6.0) + c) for v in (1e-4, 1e-2)] for c in (1, 2, 3)}
    axes = figures.sweep(lines, "learning rate", "title").axes[0]
    for container in axes.containers:
        np.testing.assert_allclose(container.lines[0].get_xdata(), [1e-4, 1e-2])
    assert len({container.lines[0].get_marker() for container in axes.containers}) == 3
    scores = {"a": np.array([1.0, 2.0, 30.0]), "b": np.array([4.0, 5.0, 6.0])}
    assert len({axes.get_xlim() for axes in figures.score_intervals(scores, "title").axes}) == 1


@pytest.mark.parametrize("count", [2, 4, 7])
def test_no_legend_lies_on_the_curves(count):
    curves = [figures.Curve(f"a curve with a name {i}", np.arange(3.0), np.full((3, 2), i)) for i in range(count)]
    figure = figures.learning_curve(curves, "title")
    with figures.style():
        figure.draw_without_rendering()
        axes = figure.axes[0]
        legend = axes.get_legend() or figure.legends[0]
        assert not axes.bbox.overlaps(legend.get_window_extent())


def test_runs_of_different_worlds_are_refused(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((run / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"env": "Acrobot-v1"}))
    with pytest.raises(UsageError, match="2 worlds"):
        plots.plot_runs([run, other], tmp_path / "x")


def test_curves_read_from_a_run(run):
    low, high = plots.read_curves(plots.Run.open(run), name="ppo")
    assert (low.label, high.label) == ("ppo, learning rate 0.0001", "ppo, learning rate 0.01")
    np.testing.assert_array_equal(low.steps[:2], [100, 200])
    np.testing.assert_array_equal(high.scores[1], [5, 6, 7])
    assert np.isnan(high.scores[0]).all()


def test_forward_fill_by_hand():
    nan = np.nan
    filled = plots.forward_fill(np.array([[nan, 1.0], [2.0, nan], [nan, nan], [4.0, 5.0]]))
    np.testing.assert_array_equal(filled, [[nan, 1.0], [2.0, 1.0], [2.0, 1.0], [4.0, 5.0]])


def test_the_line_is_the_iqm_and_the_band_its_interval():
    scores = np.random.default_rng(0).normal(size=(5, 8))
    curve = figures.Curve("a", np.arange(5.0), scores)
    axes = figures.learning_curve([curve], "title", thin=True).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "a")
    np.testing.assert_allclose(line.get_ydata(), statistics.iqm(scores))
    assert len(axes.lines) == 9  # eight seeds and the IQM
    low, high = statistics.bootstrap_interval(scores[2], resamples=figures.CURVE_RESAMPLES)
    corners = axes.collections[0].get_paths()[0].vertices
    at_two = corners[corners[:, 0] == 2.0, 1]
    np.testing.assert_allclose([at_two.min(), at_two.max()], [low, high])


def test_a_seed_that_never_reported_is_left_out():
    scores = np.array([[np.nan, 1.0, np.nan], [2.0, 3.0, np.nan]])
    axes = figures.learning_curve([figures.Curve("a", np.array([10.0, 20.0]), scores)], "title").axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [20.0])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2.5])


def test_nothing_reported_yet_still_draws():
    curve = figures.Curve("a", np.array([10.0]), np.full((1, 2), np.nan))
    assert not figures.learning_curve([curve], "title").axes[0].lines


def test_regret_is_the_mean_over_seeds():
    regret = np.cumsum(np.random.default_rng(0).random((4, 1000)), axis=1)
    axes = figures.regret_curves({"greedy": regret, "decaying": regret / 2}).axes[0]
    x, y = axes.lines[0].get_data()
    assert (x[0], x[-1]) == (1, 1000)
    np.testing.assert_allclose(y, regret[:, x.astype(int) - 1].mean(axis=0))


def test_more_curves_than_colours_stay_distinguishable(tmp_path):
    curves = [figures.Curve(f"run {i}", np.arange(3.0), np.full((3, 1), float(i))) for i in range(20)]
    axes = figures.learning_curve(curves, "many").axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 20
    assert len(axes.get_legend().get_texts()) == 20


def test_a_long_path_in_the_title_leaves_room_for_the_curve(tmp_path):
    title = "grpo on " + "/a-long-folder" * 20 + "/rows.jsonl"
    assert figures.shortened("ppo on CartPole-v1") == "ppo on CartPole-v1"
    assert len(figures.shortened(title)) == 72 and figures.shortened(title).endswith("rows.jsonl")
    curve = figures.Curve("grpo", np.arange(2), np.array([[0.0], [1.0]]))
    assert figures.save(figures.learning_curve([curve], title, "reward"), tmp_path / "curve")  # warns of nothing


def test_steps_are_what_the_run_counts(run):
    assert plots.unit(Run.open(run)) == "environment steps"
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"algorithm": "grpo"}))
    assert plots.unit(Run.open(run)) == "iterations"
