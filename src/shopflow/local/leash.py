"""A program that becomes another one, tied to its parent: on Linux the kernel signals it when the parent dies.

It runs on its own (`python -I -S leash.py SIGNAL PARENT UID:GID|- PROGRAM ARGUMENT...`) and must import nothing but
the standard library. It replaces itself by `exec`, so the pid stays and no extra process remains; a `preexec_fn`
would run Python between fork and exec, which is not safe in a program with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop to the account, arrange the signal, become the program. Exit status 127 when it cannot be started."""
    death_signal, parent, account, *program = arguments
    if account != "-":
        _become(account)
    if sys.platform == "linux":
        # After the change of account: the kernel forgets this setting when credentials change.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            raise SystemExit(0)  # the parent died before the tie was made
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming another program is this file's purpose
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        raise SystemExit(127) from error


def _become(account: str) -> None:
    uid, gid = (int(part) for part in account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    main(sys.argv[1:])
