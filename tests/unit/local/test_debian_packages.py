"""What is made of the distribution's packages: the parts that can be tried without fetching any."""

from pathlib import Path

import pytest

from shopflow.local import debian_packages

RESOURCE = """{{application, {name}, [
    {{modules, [a, b]}},
    {{applications, [kernel,stdlib,{needs}]}},
    {{env, [{{x, []}}]}}]}}."""


def _plugin(plugins: Path, name: str, needs: str) -> None:
    folder = plugins / f"{name}-3.10.8" / "ebin"
    folder.mkdir(parents=True)
    (folder / f"{name}.app").write_text(RESOURCE.format(name=name, needs=needs))


def test_only_what_the_broker_itself_needs_stays_unpacked(tmp_path: Path) -> None:
    _plugin(tmp_path, "rabbit", "rabbit_common,ra")
    _plugin(tmp_path, "rabbit_common", "crypto")
    _plugin(tmp_path, "ra", "aten")
    _plugin(tmp_path, "aten", "sasl")
    _plugin(tmp_path, "rabbitmq_management", "rabbit,cowboy")
    _plugin(tmp_path, "cowboy", "crypto")
    debian_packages._prune(tmp_path)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        "aten-3.10.8",
        "ra-3.10.8",
        "rabbit-3.10.8",
        "rabbit_common-3.10.8",
    ]


def test_erlang_is_pointed_at_the_place_where_it_will_live(tmp_path: Path) -> None:
    script = tmp_path / "usr/lib/erlang/bin/erl"
    script.parent.mkdir(parents=True)
    script.write_text("ROOTDIR=/usr/lib/erlang\n")
    debian_packages._settle(tmp_path, home=Path("/cache/rabbitmq"))
    assert script.read_text() == "ROOTDIR=/cache/rabbitmq/usr/lib/erlang\n"


def test_the_size_of_a_download_is_read_from_what_apt_lists() -> None:
    listed = (
        "'http://mirror.example/a.deb' a.deb 1000 SHA256:00\n'http://mirror.example/b.deb' b.deb 234 SHA256:00\nnoise"
    )
    assert debian_packages._total_size(listed) == 1234


async def test_a_machine_without_apt_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debian_packages.Unavailable, match="no apt-get to fetch one"):
        await debian_packages.unpacked(say=print)
