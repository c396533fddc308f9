"""The fast tests compile many small programs that run for a moment: with less optimisation they take a third of the
time, and what was compiled once is found again. Not tests/learning, whose programs run for minutes."""

import atexit
import os
import shutil
import tempfile

import jax
import jaxlib

pytest_plugins = ["worker_memory"]

# XLA ends the process at a flag that it does not know; these were checked with these versions. A program compiles in
# one piece: small ones gain nothing from pieces on several cores.
CHECKED = jaxlib.__version__.startswith("0.10.")
FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1" if CHECKED else ""


def pytest_configure(config):
    if any("learning" in str(argument) for argument in config.args):
        return
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for the commands that tests start as processes
    keep_programs()
    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{before or ''} {FLAGS}"
    jax.jit(lambda x: x + 1)(0.0)  # reads the flags, once and for all
    os.environ.pop("XLA_FLAGS")
    if before is not None:
        os.environ["XLA_FLAGS"] = before


def keep_programs():
    """Compiled programs go to a folder of this process, which ends with it.

    Of this process alone: JAX writes them in place, and another worker could read half of one.
    """
    folder = tempfile.mkdtemp(prefix="puzzlebox-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
