"""Libraries' warnings about themselves stay off the terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

KAFKA = "import kafka"


def errors(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


@pytest.mark.parametrize("program", [f"from bench.quiet import quiet; quiet(); {KAFKA}"])
def test_nothing_is_printed(program: str) -> None:
    assert errors(program) == ""


def test_a_warning_of_ours_is_shown() -> None:
    program = "from bench.quiet import quiet; quiet(); import warnings; warnings.warn('ours', DeprecationWarning)"
    assert "ours" in errors(program)
