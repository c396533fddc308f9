"""The fast tests compile many small programs that run for a moment: with less optimisation they take a third of the
time. Not tests/learning, whose programs run for minutes."""

import os

import jax
import jaxlib

# XLA ends the process at a flag that it does not know; this one was checked with these versions
FLAGS = "--xla_cpu_use_fusion_emitters=false" if jaxlib.__version__.startswith("0.10.") else ""


def pytest_configure(config):
    if any("learning" in str(argument) for argument in config.args):
        return
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for the commands that tests start as processes
    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{before or ''} {FLAGS}"
    jax.jit(lambda x: x + 1)(0.0)  # reads the flags, once and for all
    os.environ.pop("XLA_FLAGS")
    if before is not None:
        os.environ["XLA_FLAGS"] = before
