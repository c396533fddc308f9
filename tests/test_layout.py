"""The house: rooms one above the other, and no circle between modules. Imports inside functions count too."""

import ast
import graphlib
import tomllib
from pathlib import Path

import pytest

import puzzlebox

ROOT = Path(puzzlebox.__file__).parent
ROOMS = [  # from the ground up: a room imports from those before it, and from itself
    "types",
    "errors",
    "fields",
    "ops",
    "nets",
    "stats",
    "scale",
    "envs",
    "data",
    "acting",
    "algorithms",
    "runs",
    "play",
    "inference",
    "evaluation",
    "pictures",
    "training",
    "studies",
    "commands",
    "cli",
    "__main__",
]
LARGEST = 0.15  # of all lines in one folder
STRANGERS = {  # what may be probed by hasattr: objects that promise us nothing
    "envs/gymnasium_table.py",  # Gymnasium's tasks, which publish their transitions or do not
    "envs/text/rewards.py",  # a module of the user's
    "scale/backend.py",  # the operating system
}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
FOLDERS = sorted({path.parent for path in ROOT.rglob("*.py")})


def name(module: str) -> str:
    """``runs.build`` of ``runs/build.py``, ``envs.text`` of ``envs/text/__init__.py``."""
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


NAMES = {name(module): module for module in MODULES}


def room(module: str) -> str:
    return name(module).partition(".")[0]


def imported(source: str, known: set[str]) -> set[str]:
    """The modules of ours that the source imports anywhere, functions included."""
    asked = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            asked |= {f"{node.module}.{alias.name}" for alias in node.names}  # a module, or something in one
    found = set()
    for full in asked:
        short = full.removeprefix("puzzlebox.")
        if short != full:
            found |= {short if short in known else short.rpartition(".")[0]} & known
    return found


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = set(NAMES)
    return {own: imported((ROOT / module).read_text(), known) - {own} for own, module in NAMES.items()}


def test_imports_point_to_lower_rooms(graph):
    wrong = [
        f"{own} imports {other}"
        for own, others in graph.items()
        for other in others
        if ROOMS.index(room(other)) > ROOMS.index(room(own))
    ]
    assert not wrong


def test_no_circle_between_modules(graph):
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_laws_can_be_broken():
    known = {"training.train", "cli", "envs.text", "envs"}
    assert imported("def f():\n    from puzzlebox.training.train import train", known) == {"training.train"}
    assert imported("from puzzlebox.envs import make, text", known) == {"envs", "envs.text"}
    assert imported("from puzzlebox import cli, __version__", known) == {"cli"}
    assert ROOMS.index(room("training/train.py")) > ROOMS.index(room("ops/returns.py"))
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def probes(source: str) -> list[int]:
    """The lines that ask an object what it has: ``hasattr``, or ``getattr`` with a default."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [(node.func.id, node) for node in calls if isinstance(node.func, ast.Name)]
    return [n.lineno for name, n in named if name == "hasattr" or (name == "getattr" and len(n.args) > 2)]


def test_abilities_are_promised_by_types_and_not_probed():
    """A protocol of types.py says who can do what, and is asked by isinstance."""
    own = [module for module in MODULES if module not in STRANGERS]
    assert not [f"{module}:{line}" for module in own for line in probes((ROOT / module).read_text())]
    assert probes("hasattr(env, 'mdp')\ngetattr(env, 'mdp', None)\ngetattr(module, name)") == [1, 2]


def test_the_state_of_the_process_has_one_owner():
    changes = ("jax.config.update(", "os.environ.setdefault(", "os.environ[", "os.putenv(", "ctypes.CDLL(", "mallopt(")
    changed = {module for module in MODULES for words in changes if words in (ROOT / module).read_text()}
    assert changed == {"scale/backend.py"}


def test_no_room_is_crowded():
    lines = {folder: sum(len(p.read_text().splitlines()) for p in folder.glob("*.py")) for folder in FOLDERS}
    crowded = [folder for folder, count in lines.items() if count > LARGEST * sum(lines.values())]
    assert not crowded


def test_every_module_says_what_it_is():
    silent = [m for m in MODULES if (ROOT / m).read_text().strip() and m != "__main__.py" and not docstring(m)]
    assert not silent


def test_every_room_says_what_it_is_for():
    assert not [folder for folder in FOLDERS if folder != ROOT and not docstring(str(folder / "__init__.py"))]


def test_no_file_is_saved_with_pickle():
    users = {module for module in MODULES if "import pickle" in (ROOT / module).read_text()}
    assert users <= {"envs/gymnasium_pool.py", "envs/gymnasium_worker.py"}  # a pipe between two of our own processes


def test_an_installation_has_every_file_that_is_no_module():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    named = {
        file for pattern in project["tool"]["setuptools"]["package-data"]["puzzlebox"] for file in ROOT.glob(pattern)
    }
    files = {path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert len(named) > 5 and files - named == set()


def docstring(module: str) -> str | None:
    return ast.get_docstring(ast.parse((ROOT / module).read_text()))
