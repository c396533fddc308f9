"""Memory: what training needs, from shapes and from the compiled program, and what the machine has left.

It is asked before training, because a process that runs out of memory is killed without a word.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax

from puzzlebox.errors import UsageError
from puzzlebox.types import State

CGROUP = Path("/sys/fs/cgroup")
WAY_OUT = "fewer --seeds, or smaller numbers where they multiply: --num-envs, --num-steps, --batch-size, --capacity"


def check_state(shapes: State, num_agents: int) -> None:
    """Raises UsageError where the state of all agents cannot fit: networks, worlds, replay memory."""
    leaves = [math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes)]
    most, where = available()
    if most is not None and sum(leaves) > most:
        whose = "the agent" if num_agents == 1 else f"{num_agents} agents"
        raise UsageError(
            f"networks, worlds and memory of {whose} take {size(sum(leaves))}, and {where} has "
            f"{size(most)}; try {WAY_OUT}"
        )


def fits(
    compiled: Any,
    what: str = "an iteration",
    held: str = "networks, worlds and memory",
    way_out: str = WAY_OUT,
    device: jax.Device | None = None,
    devices: int = 1,
) -> str:
    """One line about the memory that a compiled program needs beyond its arguments, which are there already.

    XLA counts it for one device; ``devices`` cores of a CPU share one memory, so there it is multiplied. ``what``,
    ``held`` and ``way_out`` are the words of the message. Raises UsageError where less memory is left.
    """
    memory = compiled.memory_analysis()
    if memory is None:
        return "this device does not tell the memory of a compiled program"
    shared = devices if (device or jax.devices()[0]).platform == "cpu" else 1
    # outputs that take the place of donated arguments (aliases) cost nothing
    needed = shared * (memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes)
    beside = f"beside the {size(shared * memory.argument_size_in_bytes)} of {held}"
    most, where = available(device)
    if most is not None and needed > most:
        raise UsageError(
            f"{what} needs {size(needed)} {beside} (from the compiled program), and {where} has {size(most)} left; "
            f"try {way_out}"
        )
    return f"{what} takes {size(needed)} {beside} (from the compiled program)"


def available(device: jax.Device | None = None) -> tuple[int | None, str]:
    """Bytes that can still be allocated (None where the system does not say), and the name of where."""
    device = device or jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            return stats["bytes_limit"] - stats.get("bytes_in_use", 0), f"the {device.device_kind}"
        return None, f"the {device.device_kind}"
    found = [free for free in (machine_memory(), cgroup_memory()) if free is not None]
    return min(found, default=None), "this machine"


def machine_memory(file: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that Linux estimates it can give without swapping; None on other systems."""
    if not file.is_file():
        return None
    for line in file.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def cgroup_memory(folder: Path = CGROUP) -> int | None:
    """Bytes that a container may still take: its limit less what it holds, file pages that can be dropped not counted.

    None without a limit. Both versions of control groups are read: v2 first, then v1.
    """
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = folder / limit_name, folder / used_name
        if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
            stat = used.parent / "memory.stat"
            lines = stat.read_text().splitlines() if stat.is_file() else []
            pages = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
            return max(0, int(limit.read_text()) - int(used.read_text()) + pages)
    return None


def size(number: float) -> str:
    """Bytes for people: 1234567 -> '1.23 MB'."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f} bytes"
