"""The allowed lateness of events, one setting of the job, the server and training alike.

All three admit events by the same rule, so a person's features are the same whichever of them applies an event.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from operators.time import DEFAULT_LATENESS, HOUR, hours


class LatenessSettings(BaseSettings):
    """Reads FRESHET_ALLOWED_LATENESS_HOURS. The settings of the job and the server inherit from it."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", env_ignore_empty=True, extra="ignore", frozen=True)

    allowed_lateness_hours: float = Field(
        DEFAULT_LATENESS / HOUR, ge=0, description="how far an event may be behind its user's latest one"
    )

    @property
    def lateness(self) -> int:
        """The same in ms, as operators take it."""
        return hours(self.allowed_lateness_hours)
