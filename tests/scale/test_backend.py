"""What every command sets up before JAX is used."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import jax, jax.numpy as jnp
{prepare}
step = jax.jit(lambda x: x * 2.0)
x = jnp.ones(16_000_000)  # 64 MB are 16,000 pages
for _ in range(20):
    jax.block_until_ready(step(x))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    jax.block_until_ready(step(x))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(prepare: str) -> int:
    program = PROGRAM.format(prepare=prepare)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself")
def test_memory_that_was_used_once_is_not_taken_from_the_system_again():
    assert page_faults("") > 40_000
    assert page_faults("from puzzlebox.scale import backend; backend.prepare(language=True)") < 1_000
