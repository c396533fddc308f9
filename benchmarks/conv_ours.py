"""Racer of ``conv``: our network for pictures, with the convolution it chooses or with XLA's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.race import Row, serve
from gymnasium import spaces

from puzzlebox.nets import conv
from puzzlebox.scale import backend


def ordinary(x, weight, stride):
    """`nets.conv.conv` as XLA has it."""
    return jax.lax.conv_general_dilated(
        x.astype(weight.dtype), weight, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def prepare(settings: Row):
    backend.prepare()
    if settings["ordinary"]:
        conv.conv, conv.PART = ordinary, settings["batch"]
    space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    torso = jax.jit(lambda key: conv.Torso(space, (512,), key=key, initial="uniform"))(jax.random.key(0))
    pixels = jax.random.randint(jax.random.key(1), (settings["batch"], 84, 84, 4), 0, 256, jnp.uint8)
    forward = jax.jit(lambda torso, pixels: torso(pixels))
    gradient = jax.jit(jax.grad(lambda torso, pixels: jnp.square(torso(pixels)).mean()))
    program = forward if settings["task"] == "forward" else gradient

    def work() -> int:
        for _ in range(settings["repeats"]):
            jax.block_until_ready(program(torso, pixels))
        return settings["repeats"] * settings["batch"]

    work()
    return work, {"version": backend.versions()["jax"]}


if __name__ == "__main__":
    serve(prepare)
