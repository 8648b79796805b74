"""Every error Freshet raises on purpose.

`FreshetError` is the root. An `EventError` says why one event cannot be taken: it always
carries a machine-readable `reason`, the `field` at fault ("" where the whole payload is) and a
sentence for people, because those three go into dead letters and HTTP receipts unchanged.
"""

from __future__ import annotations

import sys

ENGINE = ("operators", "schemas", "feature_repo.crosses")
"""where a wrong declaration is found out, and never made"""


class FreshetError(Exception):
    """Root of the tree."""


class UnreadableFile(FreshetError):
    """A file of JSON lines cannot be read to its end."""


class BundleError(FreshetError):
    """A model bundle is missing, incomplete or does not match its manifest."""


class SchemaError(FreshetError):
    """A schema file is invalid or clashes with another one."""


class StateError(FreshetError):
    """Saved operator state does not fit the views as they are declared now."""


class FeatureError(FreshetError):
    """A feature is declared wrongly. `where` is the definition's "file:line"; the sentence begins with it."""

    def __init__(self, detail: str, where: str = "") -> None:
        self.detail = detail
        self.where = where or declared_at()
        super().__init__(f"{self.where}: {detail}")


class SurfaceError(FreshetError):
    """A module of surfaces declares none, several, or one that cannot be served. `where` is its file; the sentence
    begins with it and says the fix."""

    def __init__(self, where: str, detail: str) -> None:
        self.detail = detail
        self.where = where
        super().__init__(f"{where}: {detail}")


def declared_at() -> str:
    """ "file:line" of the code that is using the engine now: the nearest caller outside `ENGINE`.

    A wrong declaration is found out deep in the engine; who wrote it needs their own line.
    """
    frame = sys._getframe(1)
    while frame.f_back and f"{frame.f_globals.get('__name__', '')}.".startswith(tuple(f"{name}." for name in ENGINE)):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class EventError(FreshetError):
    """One event cannot be taken; the stream goes on."""

    reason = "invalid"

    def __init__(self, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail


class Undecodable(EventError):
    """The bytes are not an event of any known schema."""

    reason = "undecodable"


class UnknownSchema(Undecodable):
    """The fingerprint names a schema that `schemas/avro` does not hold."""

    reason = "unknown_schema"


class InvalidEvent(EventError):
    """The event was read, but a field breaks the contract."""

    reason = "invalid"


class TooLate(EventError):
    """The event is older than its user's watermark minus the allowed lateness."""

    reason = "too_late"


class TooFarInFuture(EventError):
    """The event's time is later than the broker's clock allows."""

    reason = "too_far_in_future"


class Duplicate(EventError):
    """An event with this id was applied before."""

    reason = "duplicate"


class NoConsent(EventError):
    """The person has withdrawn their consent, or has not given it where it has to be given first.

    Such an event is counted and nothing else: no dead letter, since that would hold it.
    """

    reason = "no_consent"
