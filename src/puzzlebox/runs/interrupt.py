"""Ctrl-C as a request to stop at a clean point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(*numbers: signal.Signals) -> Iterator[threading.Event]:
    """Inside it the signals ``numbers`` (by default Ctrl-C and SIGTERM) set the event instead of stopping the program.

    A second signal raises KeyboardInterrupt at once. Outside the main thread, where Python allows no handlers, the
    event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handler(number, frame):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, handler) for number in numbers or (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, old in before.items():
            signal.signal(number, old)
