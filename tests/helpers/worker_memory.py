"""A worker of the tests stays below a limit of memory, and the run fails where one did not.

JAX keeps every program that it compiled, about a megabyte each, and the tests compile thousands. So a worker whose
memory has grown forgets them between two tests. What comes up again is found on disk, where `conftest` keeps it."""

import contextlib
import ctypes
import gc
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ENOUGH = 1.1e9  # bytes; one test takes up to 0.5e9 more
ROOM = 0.3e9  # where something else holds the memory, programs are not thrown away after every single test

STATM = Path("/proc/self/statm")
kept = 0.0  # bytes that were left when programs were last forgotten
peaks = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser):
    parser.addini("memory_limit", "GB that a worker of the tests, and a process it starts, may take", default="2")


def pytest_runtest_logfinish():
    global kept
    if resident() > max(ENOUGH, kept + ROOM):
        forget_programs()
        kept = resident()


def forget_programs():
    import jax

    jax.clear_caches()
    gc.collect()
    # What is free goes back to the system only when the C library is asked: that of Linux, and that of macOS.
    library = ctypes.CDLL(None)
    for name, arguments in (("malloc_trim", (0,)), ("malloc_zone_pressure_relief", (None, 0))):
        with contextlib.suppress(AttributeError):
            getattr(library, name)(*arguments)


def resident():
    """Bytes that this process holds now."""
    if STATM.is_file():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(os.getpid())])) * 1024


def peak():
    """The most bytes that this process, or one that it started, has ever held; the system keeps count."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


# A worker hands its peak to the process that started it, which tells all of them and fails above the limit.


def pytest_configure(config):
    config.stash[peaks] = {}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    if "peak" in getattr(node, "workeroutput", {}):
        node.config.stash[peaks][node.gateway.id] = node.workeroutput["peak"]


def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["peak"] = peak()
        return
    if not config.stash[peaks]:  # the tests ran right here
        config.stash[peaks]["tests"] = peak()
    if too_large(config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    shown = ", ".join(f"{name} {most / 1e9:.2f} GB" for name, most in sorted(config.stash[peaks].items()))
    terminalreporter.write_line(f"peak of memory: {shown}")
    if too_large(config):
        terminalreporter.write_line(
            f"FAILED: {', '.join(too_large(config))} took more than the {config.getini('memory_limit')} GB of "
            "memory_limit (pyproject.toml); see tests/helpers/worker_memory.py",
            red=True,
        )


def too_large(config):
    """The workers above the limit. Beside a GPU nobody is: its driver alone takes gigabytes."""
    limit = 1e9 * float(config.getini("memory_limit"))
    found = sorted(name for name, most in config.stash[peaks].items() if most > limit)
    if found:
        import jax

        return found if jax.default_backend() == "cpu" else []
    return []
