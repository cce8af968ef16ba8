"""ShopFlow's own programs as `up` runs them, exactly as production does: `python -m shopflow ...` with an environment.
A `Service` stays and answers HTTP; `run_once` is for commands that end."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shopflow.local.failures import LocalFailure
from shopflow.local.ports import is_free
from shopflow.local.processes import Child, Output

START_SECONDS = 40.0
STOP_SECONDS = 12.0  # a service promises ten
COMMAND_SECONDS = 60.0
POLL_SECONDS = 0.03
PROBE_SECONDS = 5.0
SHOPFLOW = (sys.executable, "-P", "-m", "shopflow")  # -P: what lies in the working folder is not for import


class Service:
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
        self.name = name
        self.log = log
        self.port = port
        self._program = (*program, *arguments)
        self._environment = environment
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        """The running process, if any."""
        return self._child

    async def start(self) -> None:
        """Start it and return once it is ready. Raises LocalFailure; nothing is left running then."""
        if not is_free(self.port):
            raise LocalFailure(port_taken(self.port))
        folder = self.log.parent
        child = await Child.spawn(self._program, environment=self._environment, log=self.log, folder=folder)
        self._child = child
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._until_ready(child)
        except TimeoutError as error:
            await self.stop()
            line = f"{self.name} is not ready after {START_SECONDS:.0f} s, see {self.log}"
            raise LocalFailure(line, detail=child.output.tail()) from error
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Wait until the process ends by itself; returns its exit status."""
        return await self._child.wait() if self._child else 0

    async def stop(self) -> None:
        """Stop it cleanly. Does nothing when it is down."""
        if self._child is not None:
            await self._child.stop(patience=STOP_SECONDS)
            self._child = None

    async def _until_ready(self, child: Child) -> None:
        while await http_status(self.port, "/ready") != 200:
            if child.exit_status is not None:
                line = f"{self.name} ended with status {child.exit_status} while starting, see {self.log}"
                raise LocalFailure(line, detail=child.output.tail())
            await asyncio.sleep(POLL_SECONDS)


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
