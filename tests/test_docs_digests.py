"""The example in docs/digests.md is a surface that is sent as messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from freshet.digests.run import channel_of
from recommend.discovery import with_own
from recommend.surfaces import SURFACES
from recommend.surfaces.email import email

(EXAMPLE,) = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parent.parent / "docs" / "digests.md").read_text(), re.DOTALL
)


def test_the_example_is_a_surface_that_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "documented_mail" / "surfaces"
    folder.mkdir(parents=True)
    (folder / "news.py").write_text(EXAMPLE)
    found = {surface.name: surface for surface in with_own(SURFACES, "documented_mail.surfaces")}["news"]
    assert found.digest is not None
    assert email.digest is not None
    assert channel_of(found) == channel_of(email)
    assert (found.digest.caps, found.digest.quiet, found.digest.least) == (
        email.digest.caps, email.digest.quiet, email.digest.least,
    )  # fmt: skip
