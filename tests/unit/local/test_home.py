"""`$SHOPFLOW_HOME`: modes, the lock, and what is found there after a crash."""

import json
import os
import stat
from pathlib import Path

import pytest

from shopflow.local import secrets
from shopflow.local.failures import LocalFailure
from shopflow.local.home import Home, Running, roll
from shopflow.local.processes import Identity, identify, is_alive


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.make()
    return made


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_reads_secrets_logs_or_addresses(home: Home) -> None:
    secrets.load_or_make(home.secrets, data_exists=False)
    home.write_up({"admin": {"password": "x"}})
    home.write_journal([])
    assert {_mode(home.up_file), *(_mode(file) for file in home.secrets.iterdir())} == {0o600}
    assert _mode(home.secrets) == _mode(home.logs) == 0o700


def test_secrets_are_made_once_differ_between_platforms_and_satisfy_the_password_rule(tmp_path: Path) -> None:
    first = secrets.load_or_make(tmp_path, data_exists=False)
    assert secrets.load_or_make(tmp_path, data_exists=True) == first
    assert first.jwt_secret != secrets.Secrets().jwt_secret
    assert len(first.jwt_secret) >= 32
    password = first.admin_password
    assert any(map(str.isupper, password))
    assert any(map(str.islower, password))
    assert any(map(str.isdigit, password))
    assert not password.isalnum()


def test_lost_or_damaged_secrets_beside_kept_data_are_refused_rather_than_replaced(tmp_path: Path) -> None:
    with pytest.raises(LocalFailure, match="bring it back"):
        secrets.load_or_make(tmp_path, data_exists=True)
    (tmp_path / "platform.json").write_text('{"jwt_secret": ')
    with pytest.raises(LocalFailure, match="cannot be read"):
        secrets.load_or_make(tmp_path, data_exists=True)


def test_a_second_up_on_the_same_home_is_refused_and_names_the_first(home: Home) -> None:
    with home.locked():
        assert home.is_held()
        assert home.holder() == identify(os.getpid())
        with pytest.raises(LocalFailure, match=rf"\(pid {os.getpid()}\).*shopflow down"), Home(home.folder).locked():
            pass
    assert not home.is_held()
    assert home.holder() is None


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFailure, match="set SHOPFLOW_HOME"):
        Home(tmp_path / "file" / "home").make()


def test_up_json_is_replaced_whole(home: Home) -> None:
    home.write_up({"pids": {"auth": 1}})
    with home.up_file.open() as reader_of_the_old_one:
        home.write_up({"pids": {"auth": 2}})
        assert json.load(reader_of_the_old_one) == {"pids": {"auth": 1}}
    assert home.up() == {"pids": {"auth": 2}}
    assert [file.name for file in home.folder.glob("up.json*")] == ["up.json"]


def test_a_half_written_file_counts_as_missing(home: Home) -> None:
    home.up_file.write_text('{"auth": ')
    (home.folder / "children.json").write_text("[")
    assert home.up() is None
    assert home.journal() == []


def test_ports_are_remembered_one_by_one(home: Home) -> None:
    home.remember_port("postgres", 20001)
    home.remember_port("rabbitmq", 20002)
    assert (home.port("postgres"), home.port("rabbitmq"), home.port("other")) == (20001, 20002, None)


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_old_one(home: Home) -> None:
    ourselves = identify(os.getpid())
    assert ourselves is not None
    home.write_journal(
        [Running("auth", ourselves.pid, "another start", 15), Running("orders", ourselves.pid, ourselves.started, 15)]
    )
    assert [is_alive(child.identity) for child in home.journal()] == [False, True]
    assert identify(2**22 + 1) is None
    assert not is_alive(Identity(2**22 + 1, "1"))


def test_data_whose_folder_is_gone_is_not_replaced_by_an_empty_one(home: Home, tmp_path: Path) -> None:
    home.data.symlink_to(tmp_path / "gone")
    with pytest.raises(LocalFailure, match=r"gone is gone: bring it back"):
        home.servers_folder(None)


def test_a_log_that_grew_too_large_is_moved_aside_while_its_writer_carries_on(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    with log.open("a") as writer:
        writer.write("old\n" * 10)
        writer.flush()
        roll(log, limit=20)
        writer.write("new\n")
        writer.flush()
    assert log.read_text() == "new\n"
    assert (tmp_path / "auth.log.1").read_text() == "old\n" * 10
