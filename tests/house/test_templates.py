"""What is committed under `notifications/templates` is what its sources make."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_email_templates_are_what_their_mjml_sources_make() -> None:
    script = ROOT / "scripts" / "compile-templates"
    made = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=30, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
