"""The layers of the package: a module imports only from layers below its own, or from its own."""

import ast
from pathlib import Path

import pytest

import puzzlebox

ROOT = Path(puzzlebox.__file__).parent
LAYERS = [
    "types",
    "errors",
    "fields",
    "ops",
    "nets",
    "envs",
    "data",
    "acting",
    "algorithms",
    "run",
    "language_commands",
    "planning_commands",
    "video_commands",
    "commands",
    "cli",
    "__main__",
]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def layer(module: str) -> str:
    return module.removesuffix(".py").partition("/")[0].partition(".")[0]


def imported(source: str) -> set[str]:
    """The names below ``puzzlebox`` that the source imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= (
                {f"{node.module}.{name.name}" for name in node.names} if node.module == "puzzlebox" else {node.module}
            )
    return {name.removeprefix("puzzlebox.") for name in found if name.startswith("puzzlebox.")} - {"__version__"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_to_lower_layers(module):
    own = LAYERS.index(layer(module))
    higher = {name for name in imported((ROOT / module).read_text()) if LAYERS.index(layer(name)) > own}
    assert not higher, f"{module} is in layer {LAYERS[own]} and may not import {', '.join(sorted(higher))}"


def test_the_rule_can_fail():
    assert imported("def f():\n    from puzzlebox.run.train import train") == {"run.train"}
    assert imported("from puzzlebox import cli, __version__") == {"cli"}
    assert LAYERS.index(layer("run.train")) > LAYERS.index(layer("ops/returns.py"))


def test_every_module_says_what_it_is():
    silent = [m for m in MODULES if (ROOT / m).read_text().strip() and m != "__main__.py" and not docstring(m)]
    assert not silent


def test_no_file_is_saved_with_pickle():
    users = {module for module in MODULES if "import pickle" in (ROOT / module).read_text()}
    assert users <= {"envs/gymnasium_pool.py", "envs/gymnasium_worker.py"}  # a pipe between two of our own processes


def docstring(module: str) -> str | None:
    return ast.get_docstring(ast.parse((ROOT / module).read_text()))
