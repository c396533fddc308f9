"""The documentation keeps up with the code: every algorithm has its page, every command shown can be given."""

import ast
import re
import runpy
import shlex
import sys
from pathlib import Path

import jax
import pytest

import puzzlebox
from puzzlebox import cli
from puzzlebox.algorithms import ALGORITHMS, algorithm_class
from puzzlebox.envs import ENVIRONMENTS, make
from puzzlebox.run import directory
from puzzlebox.run.solve import METHODS
from puzzlebox.run.train import configure

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(puzzlebox [^`]+)`")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def shell_lines(page: Path) -> list[str]:
    blocks = SHELL.findall(page.read_text(encoding="utf-8"))
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands(page: Path) -> list[list[str]]:
    """Every ``puzzlebox`` command on the page, as arguments; in running text capitals such as DIR stand for a name."""
    found = shell_lines(page) + [
        c for c in INLINE.findall(page.read_text(encoding="utf-8")) if not re.search("[A-Z]{3}", c)
    ]
    return [shlex.split(line, comments=True)[1:] for line in found if line.startswith("puzzlebox ")]


COMMANDS = [(page.relative_to(ROOT).as_posix(), argv) for page in PAGES for argv in commands(page)]


def test_commands_are_found():
    assert len(COMMANDS) > 30


@pytest.mark.parametrize(
    ("page", "argv"), COMMANDS, ids=lambda value: shlex.join(value) if isinstance(value, list) else ""
)
def test_every_command_shown_can_be_given(page, argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_map.txt").write_text(drawn_map())
    if "--help" in argv:
        with pytest.raises(SystemExit) as end:
            cli.parse(argv)
        assert end.value.code == 0
        return
    arguments = cli.parse(argv)
    if argv[0] == "solve":
        assert callable(make(arguments.env).mdp)
        assert arguments.method in METHODS
    if argv[0] == "train" and "LunarLander" not in arguments.env:  # which needs the extra box2d
        fields = {k.removeprefix("field_"): v for k, v in vars(arguments).items() if k.startswith("field_") and v}
        configure(arguments.algorithm, arguments.env, arguments.seeds, arguments.seed, fields)


def drawn_map() -> str:
    """The map on the page about worlds."""
    return re.search(r"```text\n(S.*?)```", (ROOT / "docs/worlds.md").read_text(encoding="utf-8"), re.DOTALL)[1]


def test_every_make_target_shown_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {word for page in PAGES for word in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    shown |= {line.split()[1] for page in PAGES for line in shell_lines(page) if line.startswith("make ")}
    assert {"tour", "test"} <= shown <= targets


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_its_page_and_explains_what_it_logs(name):
    page = (ROOT / f"docs/algorithms/{name}.md").read_text(encoding="utf-8")
    for heading in ("## Equation", "## Command", "## Metrics", "## Hyper-parameters", "## Paper"):
        assert heading in page
    assert f"<!-- hyperparameters: {name} -->" in page
    assert f"train {name} " in page
    explained = page + (ROOT / "docs/algorithms/index.md").read_text(encoding="utf-8")
    algorithm = algorithm_class(name)(env=make("grid/toy"))
    metrics = jax.eval_shape(lambda key: algorithm.step(algorithm.init(key))[1], jax.random.key(0))
    assert [metric for metric in metrics if f"| `{metric}` |" not in explained] == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in navigation


def test_every_world_is_listed():
    page = (ROOT / "docs/worlds.md").read_text(encoding="utf-8")
    assert [name for name in ENVIRONMENTS if f"`{name}`" not in page] == []


def test_every_picture_is_there_and_small():
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            size = (page.parent / target).stat().st_size
            assert size < 300_000, f"{page.name}: {target} has {size} bytes"


def test_the_tables_of_the_pages_come_from_the_code():
    table = runpy.run_path(str(ROOT / "docs/hooks.py"))["on_page_markdown"]("<!-- hyperparameters: ppo -->")
    assert "| `--discount` | 0.99 | 0 to 1 | γ, the weight of the next reward |" in table
    assert "| `--hidden` | 64,64 |  | widths of the hidden layers |" in table


def test_python_shown_uses_calls_that_exist():
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "puzzlebox"
                ):
                    assert node.attr == "envs" or callable(getattr(puzzlebox, node.attr))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [example.name])
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out
    assert {
        "own_grid": "loses 0.0",
        "own_environment": "mean return",
        "own_reward": "earned",
        "sweep_and_compare": "beats",
    }[example.stem] in printed


def test_the_page_about_runs_lists_every_file_of_a_run():
    page = (ROOT / "docs/runs.md").read_text(encoding="utf-8")
    files = re.findall(r"^([a-z]+\.jsonl?|[a-z]+/) ", directory.__doc__ or "", re.MULTILINE)
    assert len(files) >= 5
    assert [name for name in files if f"\n  {name} " not in page] == []
