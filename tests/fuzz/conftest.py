"""What every long run shares: its parameters, its report, and the services in processes of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conftest import MakeDatabase
from tests.fuzz.parameters import Parameters, from_environment
from tests.fuzz.report import Report
from tests.fuzz.stand import Stand, opened


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    """How much, and from which seed."""
    return from_environment()


@pytest.fixture(scope="session")
def report(parameters: Parameters) -> Report:
    """Where figures and progress go."""
    return Report(parameters.folder)


@pytest.fixture
async def stand(database_of: MakeDatabase, broker_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """The three services, ready."""
    async with opened(database_of, broker_url, tmp_path) as services:
        yield services
