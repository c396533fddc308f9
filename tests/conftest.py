"""The fast tests compile many small programs that run for a moment: with less optimisation they take half the time."""

import jax


def pytest_configure(config):
    """Not for tests/learning, whose programs run for minutes; commands that tests start are not touched either."""
    if not any("learning" in str(argument) for argument in config.args):
        jax.config.update("jax_disable_most_optimizations", True)
