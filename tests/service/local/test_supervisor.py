"""The supervisor on real processes: order, restart, giving up, and leaving nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shopflow.local.failures import LocalFailure
from shopflow.local.home import Running
from shopflow.local.ports import free_port
from shopflow.local.processes import identify, is_alive
from shopflow.local.programs import Service, http_status, run_once
from shopflow.local.supervisor import Supervisor, stop_stale

# A stand-in for a service: answers every GET with 200, has a child of its own, and ends cleanly on SIGTERM.
ANSWERING = """
import http.server, os, signal, subprocess, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *arguments): pass
subprocess.Popen(["sleep", "600"])
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
print("stopped " + os.environ["NAME"], flush=True)
"""
ENDING = "import sys; print('no such table: users'); sys.exit(3)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"


class Stage:
    """A supervisor over stand-ins named a, b and c, and what it said and published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.published: list[dict[str, int]] = []
        self.supervisor = Supervisor(("a", "b", "c"), say=self.said.append, changed=self._publish)

    def service(self, name: str, program: str = ANSWERING, *, port: int | None = None) -> Service:
        port = port or free_port()
        return Service(
            name,
            (),
            environment={"PORT": str(port), "NAME": name, "PATH": os.environ["PATH"]},
            port=port,
            log=self.folder / f"{name}.log",
            program=(sys.executable, "-c", program),
        )

    def _publish(self) -> None:
        self.published.append({child.name: child.pid for child in self.supervisor.running()})

    async def until(self, words: str) -> None:
        """Wait until a line with `words` was said."""
        async with asyncio.timeout(60):
            while not any(words in line for line in self.said):
                await asyncio.sleep(0.01)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    await made.supervisor.stop()


def _started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A program of its own session that has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def _members_of_session(leader: int) -> list[int]:
    shown = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(leader)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in shown.stdout.splitlines() if "Z" not in line.split()[1]]


async def _until_nobody_is_left_of(*leaders: int) -> None:
    """Wait until every session is empty: a process that was killed is there until the system has come to it."""
    async with asyncio.timeout(60):
        while any(_members_of_session(leader) for leader in leaders):
            await asyncio.sleep(0.01)


def _pid(service: Service) -> int:
    assert service.child is not None
    return service.child.identity.pid


async def test_everything_is_stopped_in_reverse_order_and_leaves_no_process(stage: Stage) -> None:
    services = [stage.service(name) for name in "abc"]
    await asyncio.gather(*(stage.supervisor.start(service) for service in reversed(services)))
    sessions = [_pid(service) for service in services]
    await stage.supervisor.stop()
    assert stage.said == ["stopping c", "stopping b", "stopping a"]
    await _until_nobody_is_left_of(*sessions)
    assert all((stage.folder / f"{name}.log").read_text() == f"stopped {name}\n" for name in "abc"), "a clean stop"
    assert stage.published[-1] == {}


async def test_a_child_that_dies_is_started_again_and_its_new_pid_published(stage: Stage) -> None:
    service = stage.service("a")
    await stage.supervisor.start(service)
    old = _pid(service)
    os.kill(old, signal.SIGKILL)
    await stage.until("a is back")
    assert "a was ended by SIGKILL: starting it again" in stage.said
    assert stage.published[-1] == {"a": _pid(service)} != {"a": old}
    await _until_nobody_is_left_of(old)
    assert await http_status(service.port, "/") == 200


async def test_five_deaths_in_a_minute_are_too_many_and_the_log_says_why(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shopflow.local.supervisor.LONGEST_PAUSE", 0.05)
    service = stage.service("a")
    await stage.supervisor.start(service)
    service._program = (sys.executable, "-c", ENDING)
    os.kill(_pid(service), signal.SIGKILL)
    hopeless = await asyncio.wait_for(stage.supervisor.until_hopeless(), 60)
    assert "a died 5 times in a minute" in str(hopeless)
    assert "no such table: users" in hopeless.detail


async def test_a_child_that_ends_while_starting_is_named_with_its_output(stage: Stage) -> None:
    with pytest.raises(LocalFailure, match="b ended with status 3 while starting") as caught:
        await stage.supervisor.start(stage.service("b", ENDING))
    assert caught.value.detail == "no such table: users"


async def test_a_taken_port_is_named_before_anything_is_started(stage: Stage) -> None:
    first = stage.service("a")
    await stage.supervisor.start(first)
    with pytest.raises(LocalFailure, match=rf"port {first.port} is taken .* SHOPFLOW_PORT_BASE"):
        await stage.supervisor.start(stage.service("b", port=first.port))


async def test_a_child_that_will_not_stop_is_killed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shopflow.local.programs.STOP_SECONDS", 0.3)
    service = stage.service("a", ANSWERING.replace("threading.Thread(target=server.shutdown).start()", "None"))
    await stage.supervisor.start(service)
    leader = _pid(service)
    await stage.supervisor.stop()
    await _until_nobody_is_left_of(leader)


async def test_what_a_killed_up_left_behind_is_stopped_and_nobody_else() -> None:
    left, stranger = _started(DEAF), _started(DEAF)
    known = identify(left.pid)
    assert known is not None
    children = [Running("left", left.pid, known.started, signal.SIGKILL), Running("gone", stranger.pid, "long ago", 9)]
    assert await stop_stale(children) == ["left"]
    assert left.wait() == -signal.SIGKILL
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


PARENT = """
import asyncio, json, os, pathlib, signal, sys
from shopflow.local.processes import Child
async def main():
    folder = pathlib.Path(sys.argv[1])
    environment = {"PATH": os.environ["PATH"]}
    child = await Child.spawn(("sleep", "600"), environment=environment, log=folder / "log", folder=folder)
    (folder / "child").write_text(json.dumps([child.identity.pid, child.identity.started]))
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next `up` stops what is left")
async def test_children_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = _started(PARENT, str(tmp_path))
    pid, started = json.loads((tmp_path / "child").read_text())
    child = identify(pid)
    assert child is not None
    assert child.started == started
    parent.kill()
    parent.wait()
    async with asyncio.timeout(60):
        while is_alive(child):
            await asyncio.sleep(0.01)


async def test_a_command_that_fails_is_named_with_what_it_complained_about(tmp_path: Path) -> None:
    program = (sys.executable, "-c")
    echo = "import sys; print(sys.stdin.read() + '!')"
    log = tmp_path / "x.log"
    assert await run_once((echo,), environment={}, log=log, standard_input="heard", program=program) == "heard!\n"
    with pytest.raises(LocalFailure, match="failed with status 4") as caught:
        await run_once(
            ("import sys; print('why', file=sys.stderr); sys.exit(4)",), environment={}, log=log, program=program
        )
    assert caught.value.detail == "why"
