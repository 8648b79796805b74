"""The allowed lateness is one setting."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from pydantic import ValidationError

from feature_repo.lateness import LatenessSettings
from operators.contract import Record
from operators.time import DEFAULT_LATENESS, HOUR
from schemas.errors import TooLate
from schemas.events import Interaction
from serving.services import Services
from serving.settings import ServingSettings
from streams.settings import JobSettings

KINDS = (LatenessSettings, JobSettings, ServingSettings)


def test_job_server_and_training_read_the_same_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {kind().lateness for kind in KINDS} == {DEFAULT_LATENESS}
    monkeypatch.setenv("FRESHET_ALLOWED_LATENESS_HOURS", "1.5")
    assert {kind().lateness for kind in KINDS} == {3 * HOUR // 2}


@pytest.mark.parametrize("hours", ["-1", "long"])
def test_a_lateness_that_cannot_be_is_refused(hours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_ALLOWED_LATENESS_HOURS", hours)
    for kind in KINDS:
        with pytest.raises(ValidationError, match="allowed_lateness_hours"):
            kind()


def test_the_server_gives_it_to_what_applies_events() -> None:
    services = Services.of(ServingSettings(allowed_lateness_hours=2.0), rows=lambda: None)  # type: ignore[arg-type,return-value]
    operator = services.hydrator._operator
    state = operator.new("")
    now = 1_767_225_600_000
    for n, (at, error) in enumerate([(now, None), (now - 2 * HOUR, None), (now - 2 * HOUR - 1, TooLate)]):
        with pytest.raises(error) if error else nullcontext():
            operator.on_event("", state, Record(Interaction(f"e{n}", "view", "u1", at, "i1")))
