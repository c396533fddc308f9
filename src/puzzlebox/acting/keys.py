"""Reads a single key from the terminal, without Enter."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from puzzlebox.errors import PuzzleboxError


def read_key(question: str) -> str:
    """Shows ``question`` on standard error, waits for a key, shows it and returns it.

    Raises KeyboardInterrupt for Ctrl-C and Ctrl-D (also in another thread than the main one, where no signal arrives),
    PuzzleboxError when the terminal has gone.
    """
    with raw_input() as file:
        print(question, end="", file=sys.stderr, flush=True)
        key = os.read(file, 1).decode(errors="replace")
        if key == "\x1b":  # an arrow or another key that sends several characters
            while select.select([file], [], [], 0.01)[0] and os.read(file, 16):
                pass
    if not key:
        raise PuzzleboxError("the terminal was closed")
    print(key if key.isprintable() else "", file=sys.stderr, flush=True)
    if key in "\x03\x04":
        raise KeyboardInterrupt
    return key


@contextmanager
def raw_input() -> Iterator[int]:
    """Standard input's file descriptor; every key arrives at once, Ctrl-C too, or a line at a time without termios."""
    file = sys.stdin.fileno()
    try:
        import termios
    except ImportError:  # Windows: Enter is needed
        yield file
        return
    before = termios.tcgetattr(file)
    mode = termios.tcgetattr(file)
    mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    try:
        termios.tcsetattr(file, termios.TCSADRAIN, mode)
        yield file
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
