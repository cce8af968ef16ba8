"""One RabbitMQ node, private to a platform or to a test run: its data folder, its process, its one user.

It knows nothing of exchanges or queues. Everything listens on loopback only, there is no epmd and no `guest`.
Messages and queues that are durable outlive the process; `start` may be called again after a stop or a crash.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import quote

from shopflow.local.accounts import own, private_file, private_folder, server_account
from shopflow.local.failures import LocalFailure
from shopflow.local.one_process import PortProcess
from shopflow.local.ports import free_port
from shopflow.local.processes import Child, Output
from shopflow.local.rabbitmq_installation import Installation, find_installation

USER = "shopflow"
NODE = "shopflow@localhost"
START_SECONDS = 60.0  # a durable queue with a long backlog takes time to recover
FIRST_START_SECONDS = 25.0  # there is nothing to recover; seldom, its database hangs while it is made
STOP_SECONDS = 9.0
POLL_SECONDS = 0.05
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = 1  # the server's first answer is the method Connection.Start
REFUSED_IN_PATHS = frozenset("*?[]{}^!'\"\n")  # taken for patterns, or broken by RabbitMQ's own shell commands

CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
log.console = true
log.console.level = info
log.file = false
"""


class RabbitMQ(PortProcess):
    """A node on a loopback port with one user, `shopflow`, who may do everything.

    `folder` holds its data and is made when missing (its parent must exist and be reachable for the server's account);
    `password` is decided when the data is first made. `port` is preferred, not promised: read it after `start`.
    `installation` is found (and if need be fetched, told through `say`) by `start` when not given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        installation: Installation | None = None,
        port: int | None = None,
        log: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        log = log or self.folder / "rabbitmq.log"
        super().__init__("rabbitmq", title="RabbitMQ", log=log, patience=STOP_SECONDS, port=port)
        self.version = ""
        self._password = password
        self._installation = installation
        self._say = say or (lambda _: None)
        self._account = server_account()
        self._output = Output(self.log, 0)

    @property
    def url(self) -> str:
        """The address of the node's virtual host `/`."""
        return f"amqp://{USER}:{quote(self._password, safe='')}@127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Bring the node up and return once it speaks AMQP. Raises LocalFailure; nothing is left running then."""
        _check_path(self.folder)
        installation = self._installation or await find_installation(self._account, say=self._say)
        self._installation = installation
        private_folder(self._account, self.folder)
        self._output = Output.beginning_now(self.log)
        launch = partial(self._launched, installation)
        await self._start_on_a_free_port(launch, taken="eaddrinuse", said=self._output.tail)

    async def _launched(self, installation: Installation) -> bool:
        """As `_launch`; a first start that hangs is given up and made once more from nothing."""
        data = self.folder / "data"
        if data.exists():
            return await self._launch(installation, within=START_SECONDS)
        try:
            return await self._launch(installation, within=FIRST_START_SECONDS)
        except LocalFailure:
            self._say("RabbitMQ hung while its database was made: starting it once more")
            shutil.rmtree(data, ignore_errors=True)
            return await self._launch(installation, within=START_SECONDS)

    async def _launch(self, installation: Installation, *, within: float) -> bool:
        """Start the process; False if it ended instead of becoming ready."""
        internal_port = free_port()
        self._configure()
        child = await Child.spawn(
            (installation.server,),
            environment=self._environment(installation, internal_port),
            log=self.log,
            folder=self.folder,
            account=self._account,
        )
        return await self._becomes_ready(child, self._is_ready(child), within=within)

    async def _is_ready(self, child: Child) -> bool:
        while child.exit_status is None:
            if await speaks_amqp("127.0.0.1", self.port):
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    def _configure(self) -> None:
        text = CONFIGURATION.format(port=self.port, user=USER, password=self._password)
        private_file(self._account, self.folder / "rabbitmq.conf", text)
        private_file(self._account, self.folder / "enabled_plugins", "[].\n")
        if not (self.folder / ".erlang.cookie").exists():
            private_file(self._account, self.folder / ".erlang.cookie", token_urlsafe(), mode=0o400)

    def _environment(self, installation: Installation, internal_port: int) -> dict[str, str]:
        """The private node's world. RabbitMQ leaves the distribution alone when it finds it set up by arguments, and
        with a fixed port for it nobody needs epmd."""
        distribution = (
            f"-sname {NODE} -erl_epmd_port {internal_port}"
            f" -kernel inet_dist_listen_min {internal_port} -kernel inet_dist_listen_max {internal_port}"
            " -kernel inet_dist_use_interface {127,0,0,1}"
        )
        # Two schedulers do for one machine's platform; the rest of the emulator's threads cost memory only.
        threads = f"+S {min(2, os.cpu_count() or 1)} +SDcpu 1:1 +SDio 2"
        settings = {
            "HOME": self.folder,
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": internal_port,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "enabled_plugins",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_GENERATED_CONFIG_DIR": self.folder / "generated",
            # Files that do not exist, or an installed RabbitMQ would read those of the machine's own node.
            "RABBITMQ_CONF_ENV_FILE": self.folder / "none" / "rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILES": self.folder / "none" / "*.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.folder / "none" / "advanced.config",
            "RABBITMQ_ALLOW_INPUT": 1,  # the script then becomes the emulator instead of minding it
            "RABBITMQ_SERVER_START_ARGS": "-noinput +B i",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{distribution} {threads}",
            # Not an argument: the emulator that RabbitMQ itself runs every minute must not start an epmd either.
            "ERL_ZFLAGS": "-start_epmd false",
            "ERL_CRASH_DUMP_SECONDS": 0,
            "LC_ALL": "C.UTF-8",
        }
        return {name: str(value) for name, value in settings.items()} | dict(installation.environment)


@asynccontextmanager
async def throwaway(*, say: Callable[[str], None] | None = None) -> AsyncIterator[RabbitMQ]:
    """A running node for tests, in a temporary folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="shopflow-rabbitmq-"))
    own(server_account(), folder)
    node = RabbitMQ(folder, password=token_urlsafe(), say=say)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()
        shutil.rmtree(folder)


def _check_path(folder: Path) -> None:
    if REFUSED_IN_PATHS & set(str(folder)):
        raise LocalFailure(
            f"RabbitMQ cannot keep data in {folder!s}: set SHOPFLOW_HOME to a path without any of *?[]{{}}^! and quotes"
        )


async def speaks_amqp(host: str, port: int) -> bool:
    """Whether a broker greets us there as AMQP 0-9-1 demands."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(PROTOCOL_HEADER)
        answer = await asyncio.wait_for(reader.read(1), 2)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer == bytes([METHOD_FRAME])
