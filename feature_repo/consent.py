"""The rule of consent, one setting of the job, the server and training alike."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConsentSettings(BaseSettings):
    """Reads FRESHET_CONSENT. The settings of the job and the server inherit from it."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", env_ignore_empty=True, extra="ignore", frozen=True)

    consent: Literal["opt_out", "opt_in"] = Field(
        "opt_out", description="opt_in: nothing is kept of people until a profile of theirs gives consent"
    )

    @property
    def opt_in(self) -> bool:
        """Whether a person who has not spoken of consent has not given it."""
        return self.consent == "opt_in"
