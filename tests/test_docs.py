"""The documentation keeps up with the code: every algorithm has its page, every command shown can be given."""

import ast
import re
import runpy
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import puzzlebox
from puzzlebox import cli
from puzzlebox.acting import completions
from puzzlebox.acting.judge import Judge
from puzzlebox.algorithms import ALGORITHMS, algorithm_class, of_language
from puzzlebox.commands import COMMANDS as COMMANDS_THERE_ARE
from puzzlebox.data.dataset_files import SUFFIXES
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.text_worlds import make_text
from puzzlebox.envs import ENVIRONMENTS, make
from puzzlebox.envs.text import PREFIXES, TASKS
from puzzlebox.inference.export import FORMATS
from puzzlebox.nets.scorer import Scorer, zero_head
from puzzlebox.runs import build, directory
from puzzlebox.runs.build import load_model
from puzzlebox.runs.configure import configure
from puzzlebox.runs.pretrained import MODELS
from puzzlebox.studies.solve import METHODS
from puzzlebox.types import Trajectory

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(puzzlebox [^`]+)`")
EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {ROOT / "examples/own_ppo.py"})  # that one is no program
TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"
LANGUAGE = [name for name in ALGORITHMS if of_language(name)]
OTHERS = [name for name in ALGORITHMS if name not in LANGUAGE]


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
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "my_map.txt").write_text(drawn_map())
    (tmp_path / "book.txt").write_text("Once upon a time.")
    (tmp_path / "estimates.jsonl").write_text('{"prompt": "2×3", "chosen": "6", "rejected": "10"}', encoding="utf-8")
    if "--help" in argv:
        with pytest.raises(SystemExit) as end:
            cli.parse(argv)
        assert end.value.code == 0
        return
    command, arguments, _ = cli.parse(argv)
    if argv[0] == "solve":
        assert callable(make(arguments["env"]).mdp)
        assert arguments.get("method", "value_iteration") in METHODS
    needs_more = ("LunarLander", "Sonic")  # the extra box2d, a ROM
    if argv[0] == "train" and not any(name in arguments["env"] for name in needs_more):
        monkeypatch.setattr(build, "load_model", stand_in)
        monkeypatch.setattr(build, "load_judge", lambda name: Judge(zero_scorer(), stand_in(name).tokenizer))
        own = {flag.sets for flag in command.flags}
        fields = {name: value for name, value in arguments.items() if name not in own}
        seeds, seed = arguments.get("seeds", 1), arguments.get("seed", 0)
        configure(arguments["algorithm"], arguments["env"], seeds, seed, fields)
    if "task" in arguments:
        make_text(arguments["task"])
    if argv[0] != "train" and "model" in arguments:
        stand_in(arguments["model"])
    if argv[0] == "league":
        assert set(arguments.get("algorithms", ())) <= set(LANGUAGE)
    if argv[0] == "export":
        assert arguments["to"] in FORMATS


def stand_in(name: str) -> LanguageModel:
    """A small model for every model that may be named: what the name stands for was not trained or fetched here."""
    if name.startswith("new"):
        load_model(name)
    else:
        assert name in MODELS or name.startswith(("runs/", "tour/")) or name.endswith(".gguf")
    return load_model(TINY)


def zero_scorer() -> Scorer:
    decoder = load_model(TINY).decoder
    return Scorer(decoder, zero_head(decoder))


def drawn_map() -> str:
    """The map on the page about worlds."""
    return re.search(r"```text\n(S.*?)```", (ROOT / "docs/worlds.md").read_text(encoding="utf-8"), re.DOTALL)[1]


def test_every_make_target_shown_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {word for page in PAGES for word in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    shown |= {line.split()[1] for page in PAGES for line in shell_lines(page) if line.startswith("make ")}
    assert {"tour", "test"} <= shown <= targets


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_its_page(name):
    page = (ROOT / f"docs/algorithms/{name}.md").read_text(encoding="utf-8")
    for heading in ("## Equation", "## Command", "## Metrics", "## Hyper-parameters", "## Paper"):
        assert heading in page
    assert f"<!-- hyperparameters: {name} -->" in page
    assert f"train {name} " in page


@pytest.mark.parametrize("name", OTHERS)
def test_every_page_explains_what_is_logged(name):
    algorithm = algorithm_class(name)(
        env=make({"alphazero": "tic_tac_toe", "clone": "tic_tac_toe"}.get(name, "grid/toy"))
    )
    metrics = jax.eval_shape(lambda key: algorithm.step(algorithm.init(key))[1], jax.random.key(0))
    assert unexplained(name, metrics) == []


@pytest.mark.parametrize("name", LANGUAGE)
def test_every_page_explains_what_a_language_algorithm_logs(name, monkeypatch):
    """A step on the host as it is, but nothing compiles: completions are written here, updates are only traced."""
    kind = algorithm_class(name)
    monkeypatch.setattr(kind, "_improve", traced(kind._improve.__wrapped__))
    monkeypatch.setattr(completions, "generate", write)
    options = {"grpo": {"kl_coef": 0.1}, "star": {"updates": 1}}.get(name, {})  # grpo tells its kl only where it counts
    algorithm = kind(env=make_text("tiny"), start=load_model(TINY), **options)
    _, metrics = algorithm.step(algorithm.init(jax.random.key(0)))
    assert len(metrics) > 3
    assert unexplained(name, metrics) == []


def unexplained(name: str, metrics: Iterable[str]) -> list[str]:
    """The metrics that neither the algorithm's page nor the one about all of them explains."""
    pages = [(ROOT / f"docs/algorithms/{page}.md").read_text(encoding="utf-8") for page in (name, "index")]
    return [metric for metric in metrics if f"| `{metric}` |" not in "".join(pages)]


def traced(update):
    """``update`` without running it: the state as it was, and zeros for the metrics that it would give."""

    def run(self, state, *arguments):
        _, metrics = eqx.filter_eval_shape(update, self, state, *arguments)
        return state, {metric: np.zeros(shape.shape) for metric, shape in metrics.items()}

    return run


def write(decoder, prompts, key, *, group=1, stop_ids=(), **_) -> Trajectory:
    """Every second completion is the best, the others the worst of the task ``tiny``."""
    count, tokenizer = len(prompts) * group, load_model(TINY).tokenizer
    rows = [
        [*prompts[i // group], *tokenizer.encode("aaa" if i % 2 else "bbb"), tokenizer.eos_id] for i in range(count)
    ]
    tokens = jnp.array(rows)
    mask = jnp.broadcast_to(jnp.arange(tokens.shape[1] - 1) >= len(prompts[0]) - 1, (count, tokens.shape[1] - 1))
    zeros, never = jnp.zeros(mask.shape), jnp.zeros(mask.shape, bool)
    ended = never.at[:, -1].set(True)
    return Trajectory(tokens[:, :-1], tokens[:, 1:], zeros, zeros, ended, never, tokens[:, 1:], mask)


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in navigation


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_outside_the_web_pages_lead_somewhere(page):
    """Those within docs/ are checked by mkdocs."""
    for target in re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        assert (ROOT / file).exists(), target
        headings = re.findall(r"^#+ (.*)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], target


@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_the_rooms_shown_are_the_rooms(page):
    """Every folder of the package in the order that test_layout holds, and no file that is not there."""
    tree = re.search(r"```text\nsrc/puzzlebox/(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)[1]
    package = Path(puzzlebox.__file__).parent
    shown = [room for room in re.findall(r"^  (\w+)/ ", tree, re.MULTILINE) if room != "weights"]
    order = ast.parse((ROOT / "tests/test_layout.py").read_text(encoding="utf-8")).body
    rooms = next(ast.literal_eval(n.value) for n in order if isinstance(n, ast.Assign) and n.targets[0].id == "ROOMS")
    assert shown == [room for room in rooms if (package / room).is_dir()]
    package_files = {path.name for path in package.rglob("*.py")} | {"make_figures.py"}
    assert set(re.findall(r"\w+\.py\b", tree)) - package_files == set()


def test_every_world_is_listed():
    page = (ROOT / "docs/worlds.md").read_text(encoding="utf-8")
    assert [name for name in ENVIRONMENTS if f"`{name}`" not in page] == []


def test_every_task_model_and_kind_of_file_is_listed():
    page = (ROOT / "docs/language.md").read_text(encoding="utf-8")
    assert [name for name in TASKS if f"| `{name}` |" not in page] == []
    assert [prefix for prefix in PREFIXES if f"`{prefix}:NAME`" not in page] == []
    assert [suffix for suffix in SUFFIXES if f"`{suffix}`" not in page] == []
    assert [name for name in MODELS if name.islower() and f"`{name}" not in page] == []


def test_every_command_is_shown_somewhere():
    assert set(COMMANDS_THERE_ARE) - {argv[0] for _, argv in COMMANDS} == set()


def test_every_picture_is_there_and_small():
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            size = (page.parent / target).stat().st_size
            assert size < 300_000, f"{page.name}: {target} has {size} bytes"


def test_the_tables_of_the_pages_come_from_the_code():
    table = runpy.run_path(str(ROOT / "docs/hooks.py"))["on_page_markdown"]("<!-- hyperparameters: ppo -->")
    assert "| `--discount` | 0.99 | 0 to 1 | γ, the weight of the next reward |" in table
    assert "| `--hidden` | 64,64 |  | widths of the hidden layers; on pictures shared, after convolutions |" in table


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


@pytest.fixture
def optimised():
    """Programs that train in earnest are worth compiling well; see tests/conftest.py."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example, capsys, monkeypatch, optimised, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [example.name])
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out
    assert {
        "estimates": "190 pairs",
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
