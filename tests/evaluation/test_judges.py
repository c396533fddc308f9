"""Judges: who wins by score, and a language model behind a real HTTP server on this machine."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.evaluation import judges
from puzzlebox.types import Example


@contextmanager
def server(reply):
    """A chat completions server; ``reply(body, headers) -> (status, text)``. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, text = reply(body, self.headers) if self.path == "/v1/chat/completions" else (404, "no such page")
            content = json.dumps({"choices": [{"message": {"content": text}}]}) if status == 200 else text
            self.send_response(status)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


EXAMPLES = [Example("2+2="), Example("3+3=")]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(judges.time, "sleep", lambda seconds: None)


def test_the_higher_score_wins():
    compare = judges.by_score(lambda examples, texts: [float(text) for text in texts])
    assert compare(EXAMPLES, ["2", "1"], ["1", "1"]) == [1.0, 0.5]
    assert compare(EXAMPLES, ["1", "1"], ["2", "1"]) == [0.0, 0.5]


def test_verifier_compares_rewards():
    task = make_text("arith,level=sum")
    examples = [Example("2+2=", "4")]
    assert judges.make_judge("verifier", task)(examples, ["4"], ["5"]) == [1.0]
    assert judges.make_judge("verifier", task)(examples, ["6"], ["5"]) == [0.5]


def test_a_language_model_judges(monkeypatch):
    seen = []

    def reply(body, headers):
        question = body["messages"][0]["content"]
        seen.append((body["model"], headers["Authorization"], question))
        first = question.split("Answer A:\n")[1].split("\n")[0]
        return 200, "A." if first == "4" else " (B)\n"

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with server(reply) as address:
        compare = judges.make_judge(f"{address},model=wise", None)
        assert compare(EXAMPLES, ["4", "5"], ["5", "4"]) == [1.0, 0.0]
    assert {model for model, _, _ in seen} == {"wise"} and seen[0][1] == "Bearer secret"
    assert any("2+2=" in question and "Answer B:\n5" in question for _, _, question in seen)


def test_a_tired_server_is_asked_again():
    statuses = iter([503, 429])

    def reply(body, headers):
        status = next(statuses, 200)
        return status, "T" if status == 200 else "later"

    with server(reply) as address:
        assert judges.ask(address, "m", "", "?") == "T"


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (401, "who are you", "OPENAI_API_KEY"),
        (500, "out of\norder", "answers 500 .*out of order"),
        (404, "no model m", "answers 404 .*no model m"),
        (200, "I would say A", "replied 'I would say A' where A, B or T"),
    ],
)
def test_what_goes_wrong_is_one_line(status, text, message):
    with server(lambda body, headers: (status, text)) as address:
        compare = judges.endpoint(address, "m", "")
        with pytest.raises(PuzzleboxError, match=message) as error:
            compare(EXAMPLES, ["1", "1"], ["2", "2"])
    assert "\n" not in str(error.value)


def test_no_server_and_no_interface():
    with server(lambda body, headers: (200, "A")) as address:
        gone = address
        with pytest.raises(PuzzleboxError, match="answers 404"):
            judges.ask(address.removesuffix("/v1"), "m", "", "?")
    with pytest.raises(PuzzleboxError, match="cannot be reached"):
        judges.ask(gone, "m", "", "?")


@pytest.mark.parametrize(
    ("name", "message"),
    [("http://localhost:1/v1", "which model"), ("vrifier", "neither verifier"), ("https://x/v1,model=", "which model")],
)
def test_unknown_judges(name, message):
    with pytest.raises(UsageError, match=message):
        judges.make_judge(name, make_text("arith"))


def test_a_file_without_verifier_needs_another_judge(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 8)
    with pytest.raises(UsageError, match="no verifier; name another judge"):
        judges.make_judge("verifier", make_text(str(tmp_path / "rows.jsonl")))
