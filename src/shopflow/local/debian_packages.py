"""RabbitMQ and the Erlang parts it needs from the packages of Debian and its relatives, unpacked into the cache folder
without installing anything: apt verifies them, `dpkg -x` unpacks them, nobody needs to be root."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from shopflow.local.cache import cache_folder, only_one

SERVER = "rabbitmq-server"
TOOLS = ("apt-get", "apt-cache", "dpkg")
SYSTEM_ERLANG = "/usr/lib/erlang"  # hard-wired into Debian's `erl`, whatever ERL_ROOTDIR says
ALWAYS = "libsctp1"  # only recommended by erlang-base, yet its emulator looks for it
ANOTHER_EMULATOR = "erlang-base-hipe"  # an alternative to erlang-base with the same files
APT_OPTIONS = (
    "-qq",
    "-o=APT::Sandbox::User=root",
    "-o=Acquire::Retries=2",
    "-o=Acquire::http::Timeout=20",
    "-o=Acquire::Languages=none",
)
PROGRESS_SECONDS = 2.0
UNSAFE_IN_PATHS = re.compile(r"[^\w/.+@-]")


class Unavailable(Exception):
    """The packages cannot be had; `str()` is the short reason, `detail` what the tools said."""

    def __init__(self, reason: str, *, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


async def unpacked(*, say: Callable[[str], None]) -> Path:
    """The folder that holds the unpacked packages as if it were `/`; fetched once, then found. Raises Unavailable."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"none installed, and no {missing[0]} to fetch one")
    root = cache_folder() / "rabbitmq"
    if UNSAFE_IN_PATHS.search(str(root)):
        raise Unavailable(
            f"none installed, and Erlang cannot live in {root}: XDG_CACHE_HOME names another cache folder"
        )
    if not root.is_dir():
        async with only_one("rabbitmq", waiting=lambda: say("waiting for another shopflow that fetches RabbitMQ")):
            if not root.is_dir():
                await _fetch(root, say=say)
    return root


async def _fetch(root: Path, *, say: Callable[[str], None]) -> None:
    work = root.with_name("rabbitmq.new")
    shutil.rmtree(work, ignore_errors=True)
    _make(work, "lists/partial", "archives/partial", "ours", "fresh")
    try:
        packages = await _download(work, say=say)
        say("unpacking RabbitMQ")
        await _unpack(packages, work / "root", home=root)
        (work / "root").rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _download(work: Path, *, say: Callable[[str], None]) -> Path:
    """Download with the machine's package lists; where they are empty or out of date, with fresh ones of our own.

    Returns the folder that holds the packages. apt's index of the lists goes to our folder, too: who is not root cannot
    write the system's, containers often have none, and each call would make it anew.
    """
    index = ("-o=Dir::Cache::pkgcache=pkgcache.bin", "-o=Dir::Cache::srcpkgcache=srcpkgcache.bin")
    own_cache = (f"-o=Dir::Cache={work}", *index, "-o=Debug::NoLocking=true")
    try:
        await _download_with(own_cache, work / "ours", say=say)
    except Unavailable:
        say("reading the distribution's package lists")
        fresh = (*own_cache, f"-o=Dir::State::lists={work / 'lists'}")
        said = await _run("apt-get", *fresh, "update", tolerate_failure=True)  # one broken source need not matter
        try:
            await _download_with(fresh, work / "fresh", say=say)
        except Unavailable as unavailable:
            raise Unavailable(str(unavailable), detail=f"{said}\n{unavailable.detail}".strip()) from unavailable
        return work / "fresh"
    return work / "ours"


def _make(parent: Path, *folders: str) -> None:
    for folder in folders:
        (parent / folder).mkdir(parents=True)


async def _download_with(lists: Sequence[str], packages: Path, *, say: Callable[[str], None]) -> None:
    names = await _needed(lists)
    size = _total_size(await _run("apt-get", *lists, "--print-uris", "download", *names))
    say(f"fetching RabbitMQ: {len(names)} packages, {size / 1e6:.0f} MB")
    watch = asyncio.create_task(_tell_progress(packages, size, say=say))
    try:
        await _run("apt-get", *lists, "download", *names, folder=packages)
    finally:
        watch.cancel()


async def _needed(lists: Sequence[str]) -> list[str]:
    """The server, every Erlang package below it, and the libraries that this machine lacks."""
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    without = [f"--no-{kind}" for kind in kinds]
    tree = await _run("apt-cache", *lists, "depends", "--recurse", *without, SERVER)
    erlang = {line for line in tree.splitlines() if line.startswith("erlang-")} - {ANOTHER_EMULATOR}
    if not erlang:
        raise Unavailable(f"the package lists do not know {SERVER}")
    plan = await _run(
        "apt-get", *lists, "--simulate", "--no-install-recommends", "install", SERVER, tolerate_failure=True
    )
    libraries = set(re.findall(r"^Inst (lib\S+)", plan, re.MULTILINE)) | {ALWAYS}
    return [SERVER, *sorted(erlang), *sorted(libraries)]


def _total_size(uris: str) -> int:
    """The sum of the sizes in lines of `'address' file size hash`."""
    return sum(int(size) for size in re.findall(r"^'\S+' \S+ (\d+)", uris, re.MULTILINE))


async def _tell_progress(packages: Path, size: int, *, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        say(f"fetching RabbitMQ: {_downloaded(packages) / max(size, 1):.0%}")


def _downloaded(packages: Path) -> int:
    return sum(file.stat().st_size for file in packages.iterdir() if file.is_file())


async def _unpack(packages: Path, root: Path, *, home: Path) -> None:
    for package in _fetched(packages):
        await _run("dpkg", "-x", str(package), str(root))
    _settle(root, home=home)


def _fetched(packages: Path) -> list[Path]:
    return sorted(packages.glob("*.deb"))


def _settle(root: Path, *, home: Path) -> None:
    """Fit the unpacked tree to its home: repair Erlang's hard-wired path, drop plugins a plain node never loads.

    Every module is searched for in every plugin's folder at the start: without them it takes two thirds of the time.
    """
    root.chmod(0o755)  # the servers' account must enter, whatever our umask
    for script in root.glob("usr/lib/erlang/**/bin/erl"):
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace(SYSTEM_ERLANG, f"{home}{SYSTEM_ERLANG}"), encoding="utf-8")
    for plugins in root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins"):
        _prune(plugins)


def _prune(plugins: Path) -> None:
    folders = {folder.name.rpartition("-")[0]: folder for folder in plugins.iterdir() if folder.is_dir()}
    wanted: set[str] = set()
    queue = ["rabbit"]
    while queue:
        name = queue.pop()
        if name in folders and name not in wanted:
            wanted.add(name)
            queue += _applications(folders[name] / "ebin" / f"{name}.app")
    for name in folders.keys() - wanted:
        shutil.rmtree(folders[name])


def _applications(resource: Path) -> list[str]:
    """The applications that an Erlang application's resource file says it needs."""
    listed = re.search(r"\{\s*applications\s*,\s*\[([^\]]*)\]", resource.read_text(encoding="utf-8"))
    return re.findall(r"\w+", listed[1]) if listed else []


async def _run(tool: str, *arguments: str, folder: Path | None = None, tolerate_failure: bool = False) -> str:
    """Run one of the package tools; returns all it prints. Raises Unavailable if it fails."""
    options = APT_OPTIONS if tool == "apt-get" else ()
    program = await asyncio.create_subprocess_exec(
        tool,
        *options,
        *arguments,
        cwd=folder or Path("/"),
        env=os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        printed, complaint = await program.communicate()
    except asyncio.CancelledError:
        program.kill()
        await program.wait()
        raise
    if program.returncode != 0 and not tolerate_failure:
        raise Unavailable("none installed, and fetching the packages failed", detail=complaint.decode(errors="replace"))
    return (printed + complaint).decode(errors="replace")
