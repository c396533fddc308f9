"""People at a real terminal: talking to a model, and judging its answers, key by key."""

import json
import os
import select
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from puzzlebox.cli import main
from puzzlebox.data.huggingface import save_decoder
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.nets.decoder import Decoder, DecoderConfig
from puzzlebox.runs.directory import Run

pty = pytest.importorskip("pty")
CTRL_C, CTRL_D = "\x03", "\x04"
# A program that makes the terminal it was given its own, so that Ctrl-C there reaches it; what a shell starts in the
# background, such as these tests, is deaf to Ctrl-C by default.
PROGRAM = """
import fcntl, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from puzzlebox.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Terminal:
    """A command at a terminal; with ``piped`` its standard output goes elsewhere."""

    def __init__(self, *words, piped=False):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, words)],
            stdin=slave,
            stdout=subprocess.PIPE if piped else slave,
            stderr=slave,
            start_new_session=True,
            env=os.environ | {"TERM": "dumb", "COLUMNS": "200"},
        )
        os.close(slave)
        self.read, self.shown, self.place = b"", "", 0

    def until(self, text, seconds=60):
        """What is shown up to ``text``, from where the last call stopped."""
        end = time.monotonic() + seconds
        while text not in self.shown[self.place :]:
            assert time.monotonic() < end, f"no {text!r} in {self.shown!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.read += os.read(self.master, 65536)
                except OSError:  # the other end is closed
                    raise AssertionError(f"it ended without {text!r}: {self.shown!r}") from None
                self.shown = self.read.decode(errors="ignore")
        start, self.place = self.place, self.shown.index(text, self.place) + len(text)
        return self.shown[start : self.place]

    def press(self, keys):
        os.write(self.master, keys.encode())

    def interrupt(self, done):
        """Ctrl-C at a prompt, again where nothing happens: input() misses a signal just before it begins to read."""
        for _ in range(5):
            time.sleep(0.5)
            self.press(CTRL_C)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if done():
                    return
                time.sleep(0.05)
        raise AssertionError(f"Ctrl-C five times, and nothing: {self.shown!r}")

    def shows(self, text):
        """Whether ``text`` has come by now."""
        try:
            self.until(text, 0.1)
        except AssertionError:
            return False
        return True

    def end(self):
        """Exit code and what went to a piped standard output."""
        out = self.process.communicate(timeout=60)[0]
        os.close(self.master)
        return self.process.returncode, out.decode() if out else ""


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """A model that says a, again and again: every text has the same embedding, and only a's logit is not 0."""
    tokenizer = Tokenizer.characters()
    config = DecoderConfig(
        258, width=16, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=8, hidden=16, context=2048, tied=False
    )
    decoder = jax.tree.map(lambda x: jnp.zeros_like(x) if eqx.is_array(x) else x, Decoder(config, jax.random.key(0)))
    ones = lambda d: (d.embedding, d.norm.weight)  # noqa: E731
    decoder = eqx.tree_at(ones, decoder, jax.tree.map(jnp.ones_like, ones(decoder)))
    decoder = eqx.tree_at(lambda d: d.output.weight, decoder, decoder.output.weight.at[ord("a")].set(1.0))
    path = tmp_path_factory.mktemp("models") / "talker"
    save_decoder(decoder, path)
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}[assistant]{% endif %}"
    tokenizer.with_chat_template(template).save(path)
    return path


def test_ctrl_c_stops_an_answer_and_once_more_leaves(talker):
    terminal = Terminal("chat", talker, "--temperature", "0", "--max-tokens", "1900")
    assert "Ctrl-C stops an answer" in terminal.until("> ")
    terminal.press("hello\n")
    terminal.until("aaaa")
    terminal.press(CTRL_C)
    terminal.until("> ")
    terminal.press("/reset\n")
    terminal.until("(started over)")
    terminal.until("> ")
    terminal.interrupt(lambda: terminal.shows("(Ctrl-C once more, /exit or Ctrl-D leaves)"))
    terminal.until("> ")
    terminal.press("again\n")  # so that was not the second in a row
    terminal.until("aaaa")
    terminal.press(CTRL_C)
    terminal.until("> ")
    assert terminal.shown.count("a") < 3000  # both answers were cut short
    terminal.interrupt(lambda: terminal.process.poll() is not None)
    assert terminal.end() == (0, "")


@pytest.mark.parametrize("leave", [CTRL_D, "/exit\n"], ids=["Ctrl-D", "/exit"])
def test_what_was_said_goes_to_standard_output_and_nothing_else(talker, leave):
    terminal = Terminal("chat", talker, "--temperature", "0", "--max-tokens", "5", "--json", piped=True)
    terminal.until("> ")
    terminal.press("hellp\x7fo\n")  # a slip and backspace
    terminal.until("aaaaa")
    terminal.until("> ")
    terminal.press(leave)
    code, out = terminal.end()
    assert code == 0
    assert json.loads(out)["messages"] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "aaaaa"},
    ]


def test_a_person_judges_with_single_keys_and_what_was_judged_is_kept(tmp_path, capsys):
    rows = [{"prompt": f"{i}="} for i in range(10)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model, path = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=32", tmp_path / "run"
    flags = ["--model", model, "--human", "true", "--steps", "2", "--num-prompts", "3", "--max-tokens", "4"]
    terminal = Terminal("train", "online_dpo", tmp_path / "rows.jsonl", *flags, "--run", path, "--json", piped=True)
    for number, keys in enumerate([["a"], ["x", "\x1b[B", "b"], ["="]], 1):  # a slip, and an arrow, which is no B
        question = terminal.until("better (a, b, = for a tie; Ctrl-C stops): ")
        assert f"{number}/3  " in question and "\n  a: " in question.replace("\r", "")
        for key in keys[:-1]:
            terminal.press(key)
            terminal.until("stops): ")
        terminal.press(keys[-1])
    terminal.until("1/3  ")
    terminal.until("stops): ")
    time.sleep(0.5)
    terminal.press(CTRL_C)
    terminal.until(f"stopped at step 1; continue from the last checkpoint with: puzzlebox resume {path}")
    assert terminal.end() == (130, "")
    (row,) = Run.open(path).metrics()
    assert row["reward"] == [pytest.approx(2 / 6)] and row["frac_ties"] == [pytest.approx(1 / 3)]
    assert main(["evaluate", str(path), "--json"]) == 0  # where nobody can be asked
    figures = json.loads(capsys.readouterr().out)
    assert figures["steps"] == 1 and len(figures["examples"]) > 0
