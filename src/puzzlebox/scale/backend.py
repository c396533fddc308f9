"""The state of the whole process: settings of JAX, XLA, the C library and SDL; and which hardware there is.

It is changed here and nowhere else. Nothing of it is undone: a later run in the same process finds it as the first one
left it, which costs time at most. (Which simulators are running is the other such state; `envs.host` keeps it.)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

LEVEL = "--xla_backend_optimization_level"


def prepare(language: bool = False) -> None:
    """To be called before the first use of JAX: one device per CPU core, fast compilation, compiled programs on disk.

    ``language`` is for programs that train language models: freed memory is kept, see `_keep_memory`.

    LLVM's third level of optimisation takes twice the time of its second and makes our programs no faster
    (``XLA_FLAGS`` may ask for another). With the cache a second start takes seconds (``PUZZLEBOX_CACHE=off`` turns it
    off, a path moves it).
    """
    if language:
        _keep_memory()
    with contextlib.suppress(RuntimeError):  # JAX is in use already: it keeps the devices it has
        jax.config.update("jax_num_cpu_devices", cores())
    flags = os.environ.get("XLA_FLAGS", "")
    if LEVEL not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {LEVEL}=2".strip()
    cache = os.environ.get("PUZZLEBOX_CACHE", str(Path.home() / ".cache" / "puzzlebox"))
    if cache != "off" and jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _keep_memory() -> None:
    """Makes the C library keep memory that is freed, where it is glibc.

    By its defaults it hands large blocks back to the system, and every step of a training then takes them anew, page
    by page: 3.6 GB and a third of the time of a step of SFT on a model of 135M weights. It must come before
    threads begin. Programs of small steps do without: their threads would share one arena, which made PPO on CartPole
    a seventh slower.
    """
    if platform.libc_ver()[0] == "glibc":
        options = ctypes.CDLL(None)
        # malloc.h: M_ARENA_MAX, since only the first arena holds large blocks; M_MMAP_MAX; M_TRIM_THRESHOLD
        for name, value in ((-8, 1), (-4, 0), (-1, -1)):
            options.mallopt(name, value)


def draw_in_memory() -> None:
    """Lets SDL, with which Gymnasium's worlds draw themselves, open no window, so that no screen is needed."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def cores() -> int:
    """The CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that numbers depend on, by name."""
    names = ("puzzlebox", "jax", "jaxlib", "equinox", "optax", "gymnasium", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def hardware() -> dict[str, Any]:
    """The device, its platform, how many JAX sees, and the CPU cores. Starts JAX."""
    device = jax.devices()[0]
    return {"device": device.device_kind, "platform": device.platform, "devices": jax.device_count(), "cores": cores()}


def described() -> str:
    """The machine and the software, in a line for a page."""
    device, count = hardware()["device"], cores()
    software = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{device}, {count} core{'s' * (count > 1)}. {software}."
