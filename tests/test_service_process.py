"""The example service as a process of its own, started with its one command and asked by HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests import small_classifier
from tools.set_address import ROOT

SECRET = "The striker scored twice."
POSIX = os.name == "posix"  # signals


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(*arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "examples.service.app", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def service(folder):
    """The port of a running service, and its process; it is ended if the test hasn't."""
    pytest.importorskip("uvicorn", reason="the service needs the extra serve")
    port = free_port()
    process = start("--model", str(folder), "--port", str(port))
    try:
        for _ in range(480):
            assert process.poll() is None, process.communicate()[0]
            try:
                ask(port, "GET", "/health")
                break
            except OSError:
                time.sleep(0.25)
        yield port, process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_classifier.save(tmp_path_factory.mktemp("models") / "small")


def refuses_a_large_body_before_it_has_come(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(2**30))
    connection.endheaders()
    connection.send(b" " * (2**20 + 1))  # of a gigabyte
    answer = connection.getresponse()
    assert answer.status == 413 and b"too_large" in answer.read()
    connection.close()


def test_it_answers_refuses_logs_and_ends(folder):
    with service(folder) as (port, process):
        status, health = ask(port, "GET", "/health")
        assert status == 200 and json.loads(health)["status"] == "ok"
        body = json.dumps({"texts": [SECRET]}).encode()
        status, answer = ask(port, "POST", "/predict", body)
        assert status == 200
        assert json.loads(answer)["predictions"][0]["label"] in ("business", "sport")
        refused = {b"{": 400, b'{"texts": []}': 422, b'{"texts": ["' + b"a" * 20_001 + b'"]}': 422}
        for body, status in refused.items():
            found, answer = ask(port, "POST", "/predict", body)
            assert found == status and json.loads(answer)["error"]["message"]
        assert ask(port, "GET", "/striker")[0] == 404
        if POSIX:
            refuses_a_large_body_before_it_has_come(port)

        # Connections that send nothing: beyond the limit, the answer comes at once and is 503.
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(32)]
        time.sleep(0.5)
        assert ask(port, "GET", "/health")[0] == 503
        for connection in idle:
            connection.close()
        for _ in range(40):
            if ask(port, "GET", "/health")[0] == 200:
                break
            time.sleep(0.25)
        else:
            raise AssertionError("the service doesn't recover from too many connections")

        # A request that is never finished doesn't keep the service from ending.
        hanging = socket.create_connection(("127.0.0.1", port))
        hanging.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGINT if POSIX else signal.SIGTERM)
        log = process.communicate(timeout=60)[0]
        hanging.close()
        assert time.monotonic() - started < 30
        if POSIX:
            assert process.returncode == 0  # as after Ctrl-C
        assert "striker" not in log.lower().replace("/striker", "")
        assert '"refused": "not_json"' in log and '"texts": 1' in log


def test_a_wrong_model_is_told_in_one_line(monkeypatch, capsys):
    pytest.importorskip("uvicorn", reason="the service needs the extra serve")
    from examples.service import app

    monkeypatch.setattr(app.logging, "basicConfig", lambda **_: None)  # not for the other tests
    monkeypatch.setattr(sys, "argv", ["app", "--model", "no/such/folder"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = "".join(capsys.readouterr())
    assert ended.value.code == 2 and "can't be loaded" in said and "Traceback" not in said


def test_a_port_that_is_taken_is_told_in_one_line(folder):
    pytest.importorskip("uvicorn", reason="the service needs the extra serve")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--model", str(folder), "--port", str(taken.getsockname()[1]))
        said = process.communicate(timeout=120)[0]
    assert process.returncode and "address already in use" in said.lower()
    assert "Traceback" not in said
