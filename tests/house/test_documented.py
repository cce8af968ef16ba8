"""What the documents promise about names is compared with the program: variables, commands, metrics, paths, queues."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from prometheus_client import Metric

from shopflow.cli.commands import _COMMANDS, _GROUPS
from shopflow.contracts.topology import consumer_topology
from shopflow.kit.service import Application
from shopflow.kit.settings import read, variables
from shopflow.local import given

SERVICES = {"auth": "auth-service", "orders": "order-service", "notifications": "notification-service"}
NO_DEFAULT = "\N{EN DASH}"
OWN_METRICS = "shopflow_"

EVERYTHING = {
    "DATABASE_URL": "postgresql://shopflow@127.0.0.1/shopflow",
    "JWT_SECRET": "s" * 32,
    "RABBITMQ_URL": "amqp://127.0.0.1/",
    "AUTH_SERVICE_URL": "http://127.0.0.1:3001",
    "ORDER_SERVICE_URL": "http://127.0.0.1:3002",
    "AUTH_SERVICE_TOKEN": "only-to-be-read",
    "ORDER_SERVICE_TOKEN": "only-to-be-read",
    "AWS_SES_REGION": "us-east-1",
    "AWS_SES_FROM_EMAIL": "noreply@shopflow.example",
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "only-to-be-read",
    "TWILIO_FROM_NUMBER": "+15550001234",
}

Settings = type[Any]


def settings_of(service: str) -> Settings:
    """The settings class of a service."""
    found: Settings = import_module(f"shopflow.{service}.settings").Settings
    return found


def built(service: str) -> Application:
    """A service as its own composition root makes it; nothing is opened."""
    application: Application = import_module(f"shopflow.{service}.app").build(read(settings_of(service), EVERYTHING))
    return application


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its rank or above."""
    rank = heading.partition(" ")[0]
    after = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(rank)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, headings included."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def named(cell: str) -> list[str]:
    """What stands between backticks, fenced blocks left out."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", cell, flags=re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="session")
def operating(root: Path) -> str:
    return (root / "docs" / "operating.md").read_text()


@pytest.fixture(scope="session")
def api(root: Path) -> str:
    return (root / "docs" / "api.md").read_text()


@pytest.fixture(scope="session")
def events(root: Path) -> str:
    return (root / "docs" / "events.md").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_service_is_documented_with_its_default(service: str, operating: str) -> None:
    text = section(operating, f"### {SERVICES[service]}")
    documented = {named(cells[0])[0]: cells[1].strip("`") for cells in rows(text) if named(cells[0])}
    known = variables(settings_of(service))
    assert documented == {
        each.name: "required" if each.required else (each.default or "").strip(",") or NO_DEFAULT for each in known
    }
    assert {f"{each.name}_FILE" for each in known if each.file} <= set(named(text))


def test_every_variable_that_up_reads_is_documented(root: Path, operating: str) -> None:
    source = (root / "src" / "shopflow" / "local" / "given.py").read_text()
    spelled = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    read_there = {each for each in spelled if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|PATH|HOME|USER|LANG|TZ", each)}
    read_there |= {*given.SYSTEM, *given.NETWORK, *given.SERVICE, *given.SES, *given.TWILIO}
    read_there |= {f"DATABASE_URL_{service.upper()}" for service in given.SERVICES}
    assert read_there <= set(named(section(operating, "### shopflow up")))


def test_every_command_is_documented(operating: str) -> None:
    commands = {f"shopflow {name}" for name in _COMMANDS}
    commands |= {f"shopflow {group} {name}" for group, (_, inside) in _GROUPS.items() for name in inside}
    documented = {named(cells[0])[0] for cells in rows(section(operating, "## Commands")) if named(cells[0])}
    assert {each for each in documented if each.startswith("shopflow")} == commands


def test_every_target_of_make_is_documented(root: Path, operating: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", (root / "Makefile").read_text(), re.MULTILINE))
    documented = {named(cells[0])[0] for cells in rows(section(operating, "## Commands")) if named(cells[0])}
    assert {each for each in documented if each.startswith("make")} == {f"make {each}" for each in targets}


def full_name(metric: Metric) -> str:
    """A metric's name as `/metrics` shows it."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def test_every_metric_is_documented_with_its_kind_and_services(operating: str) -> None:
    exposed: dict[str, tuple[str, set[str]]] = {}
    for service in SERVICES:
        for metric in built(service).metrics.registry.collect():
            if metric.name.startswith(OWN_METRICS):
                exposed.setdefault(full_name(metric), (metric.type, set()))[1].add(service)
    documented = {
        named(cells[0])[0]: (cells[1], set(SERVICES) if cells[2] == "all" else set(cells[2].split(", ")))
        for cells in rows(section(operating, "## Metrics"))
        if named(cells[0])
    }
    assert documented == exposed


@pytest.mark.parametrize("service", SERVICES)
def test_every_dependency_is_documented(service: str, operating: str) -> None:
    name = SERVICES[service]
    row = next(cells for cells in rows(section(operating, "## Health")) if cells[0] == name)
    dependencies = built(service)._dependencies
    assert [each.name for each in dependencies if each.vital] == named(row[1])
    assert [each.name for each in dependencies if not each.vital] == named(row[2].strip("|"))


def test_every_path_is_documented(api: str) -> None:
    exposed = {
        (method, route.path_format)
        for service in SERVICES
        for route in built(service).litestar.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method != "OPTIONS" and "{part}" not in route.path_format
    }
    documented = {
        (cells[0].split()[0], named(cells[0])[0]) for cells in rows(section(api, "## Endpoints")) if named(cells[0])
    }
    assert documented == exposed


CODE_AT = {"Problem": 1, "unauthenticated": 0, "conflict": 0, "unavailable": 0}


def codes(source: str) -> Iterator[str]:
    """The problem codes that a file spells, found where problems are made."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        given_codes = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        if node.func.id in CODE_AT and len(node.args) > CODE_AT[node.func.id]:
            given_codes.append(node.args[CODE_AT[node.func.id]])
        yield from (
            each.value for each in given_codes if isinstance(each, ast.Constant) and isinstance(each.value, str)
        )
        if node.func.id == "not_found" and isinstance(node.args[0], ast.Constant):
            yield f"{node.args[0].value!s}-not-found"


def test_every_problem_code_is_documented(root: Path, api: str, events: str) -> None:
    sources = [
        path
        for room in ("kit", "clients", "auth", "orders", "notifications")
        for path in (root / "src" / "shopflow" / room).rglob("*.py")
    ]
    spelled = {code for path in sources for code in codes(path.read_text()) if "-" in code}
    answered = {code for cells in rows(section(api, "### Problem codes")) for code in named(cells[1])}
    assert spelled - answered <= set(named(events)), "a code that only the consumer knows stands in docs/events.md"
    assert answered <= spelled | {"invalid-request", "forbidden", "overloaded", "authentication-unavailable"} | {
        f"{each}-unavailable" for each in SERVICES.values()
    }


def test_every_exchange_and_queue_is_documented_with_its_arguments(events: str) -> None:
    topology = consumer_topology("quorum")
    exchanges = {named(cells[0])[0] for cells in rows(section(events, "## Exchanges")) if named(cells[0])}
    assert exchanges == {each.name for each in topology.exchanges}
    documented = {named(cells[0])[0]: cells[1:] for cells in rows(section(events, "## Queues")) if named(cells[0])}
    assert {name: set(named(cells[1])) for name, cells in documented.items()} == {
        each.name: {f"{key}: {value}" if value != "" else f'{key}: ""' for key, value in each.arguments.items()}
        for each in topology.queues
    }
    assert {(name, *named(cells[0])) for name, cells in documented.items() if named(cells[0])} == {
        (each.queue, each.exchange, each.key) for each in topology.bindings
    }


def documents(root: Path) -> list[Path]:
    """Every page that people read."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def test_every_link_between_documents_leads_somewhere(root: Path) -> None:
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in documents(root)
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text())
        if not _leads_somewhere(page, target)
    ]
    assert broken == []


def _leads_somewhere(page: Path, target: str) -> bool:
    place, _, anchor = target.partition("#")
    there = page.parent / place if place else page
    if not there.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_file_that_the_documents_name_is_there(root: Path) -> None:
    missing = [
        f"{page.relative_to(root)}: {path}"
        for page in documents(root)
        for path in re.findall(r"`((?:src|tests|docs|scripts)/[\w./-]+\.\w+)`", page.read_text())
        if not (root / path).exists()
    ]
    assert missing == []
