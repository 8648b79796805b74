"""The rule of consent is one setting."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from feature_repo.consent import ConsentSettings
from serving.services import Services
from serving.settings import ServingSettings
from streams.settings import JobSettings

KINDS = (ConsentSettings, JobSettings, ServingSettings)


def test_job_server_and_training_read_the_same_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {kind().opt_in for kind in KINDS} == {False}
    monkeypatch.setenv("FRESHET_CONSENT", "opt_in")
    assert {kind().opt_in for kind in KINDS} == {True}


def test_another_rule_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_CONSENT", "maybe")
    for kind in KINDS:
        with pytest.raises(ValidationError, match="consent"):
            kind()


@pytest.mark.parametrize(("consent", "opt_in"), [("opt_out", False), ("opt_in", True)])
def test_the_server_gives_it_to_what_applies_events(consent: str, opt_in: bool) -> None:
    services = Services.of(ServingSettings(consent=consent), rows=lambda: None)  # type: ignore[arg-type,return-value]
    operator = services.hydrator._operator
    assert operator.consents(operator.new()) is not opt_in
