"""ShopFlow's own programs as `up` runs them, exactly as production does: `python -m shopflow ...` with an environment.
A `Service` stays and answers HTTP; `run_once` is for commands that end."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shopflow.local.failures import LocalFailure
from shopflow.local.one_process import OneProcess
from shopflow.local.ports import is_free
from shopflow.local.processes import Child, Output

START_SECONDS = 40.0
STOP_SECONDS = 12.0  # a service promises ten
COMMAND_SECONDS = 60.0
POLL_SECONDS = 0.03
PROBE_SECONDS = 5.0
SHOPFLOW = (sys.executable, "-P", "-m", "shopflow")  # -P: what lies in the working folder is not for import


class Service(OneProcess):
    """One HTTP service in a process of its own, ready when `GET /ready` answers 200."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        port: int,
        log: Path,
        program: Sequence[str] = SHOPFLOW,
    ) -> None:
        super().__init__(name, title=name, log=log, patience=STOP_SECONDS)
        self.port = port
        self._program = (*program, *arguments)
        self._environment = environment

    async def start(self) -> None:
        """Start it and return once it is ready. Raises LocalFailure; nothing is left running then."""
        if not is_free(self.port):
            raise LocalFailure(port_taken(self.port))
        folder = self.log.parent
        child = await Child.spawn(self._program, environment=self._environment, log=self.log, folder=folder)
        if not await self._becomes_ready(child, self._is_ready(child), within=START_SECONDS):
            line = f"{self.name} ended with status {child.exit_status} while starting, see {self.log}"
            raise LocalFailure(line, detail=child.output.tail())

    async def _is_ready(self, child: Child) -> bool:
        while child.exit_status is None:
            if await http_status(self.port, "/ready") == 200:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False


def port_taken(port: int) -> str:
    """The line that says so, with the remedy."""
    return f"port {port} is taken by another program: stop that one, or move ours with SHOPFLOW_PORT_BASE=4000"


async def run_once(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    standard_input: str = "",
    program: Sequence[str] = SHOPFLOW,
) -> str:
    """Run one command to its end; returns what it printed. Its complaints go to `log`. Raises LocalFailure."""
    output = Output.beginning_now(log)
    with log.open("ab") as complaints:
        process = await asyncio.create_subprocess_exec(
            *program,
            *arguments,
            env=dict(environment),
            cwd=log.parent,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        )
    name = f"`shopflow {' '.join(arguments[:2])}`"
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            printed, _ = await process.communicate(standard_input.encode())
    except TimeoutError as error:
        line = f"{name} did not end within {COMMAND_SECONDS:.0f} s, see {log}"
        raise LocalFailure(line, detail=output.tail()) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise LocalFailure(f"{name} failed with status {process.returncode}, see {log}", detail=output.tail())
    return printed.decode(errors="replace")


async def http_status(port: int, path: str) -> int | None:
    """The status with which a server on loopback answers `GET path`; None when it does not answer HTTP."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
                words = (await reader.readline()).split()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return None
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else None
