"""The README's first order, as it is printed: every line runs, and what comes back is what it shows."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import RunningPlatform

pytestmark = pytest.mark.timeout(360)

CHAPTER = "## A first order, by hand"
BORDER = "---- end of a block ----"
FENCED = re.compile(r"```(sh|json)\n(.*?)```", re.DOTALL)
CHANCE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z")


def answers(text: str) -> list[Any]:
    """The JSON documents of a text, one behind the other, without what differs from run to run."""
    found = []
    rest = CHANCE.sub("…", text).strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def moved(script: str, platform: RunningPlatform) -> str:
    """The script for a platform on other ports, with its home elsewhere."""
    script = re.sub(r"127\.0\.0\.1:30(\d\d)", lambda port: f"127.0.0.1:{platform.base + int(port[1])}", script)
    return script.replace(".shopflow/", f"{platform.home}/")


def test_the_readmes_first_order_works_as_printed(platform: RunningPlatform, root: Path) -> None:
    chapter = (root / "README.md").read_text().split(CHAPTER)[1].split("\n## ")[0]
    fenced = FENCED.findall(chapter)
    scripts = [text for kind, text in fenced if kind == "sh"]
    shown = [
        answers(after) if kind == "json" else []
        for (before, _), (kind, after) in zip(fenced, [*fenced[1:], ("sh", "")], strict=True)
        if before == "sh"
    ]
    script = moved(f"\necho '{BORDER}'\n".join(scripts), platform)
    run = subprocess.run(
        ["sh", "-e"], input=script, env=platform.environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert run.returncode == 0, run.stderr
    received = [answers(part) for part in run.stdout.split(BORDER)]
    assert sum(map(len, shown)) >= 5
    assert [part[-len(wanted) :] if wanted else [] for part, wanted in zip(received, shown, strict=True)] == shown
