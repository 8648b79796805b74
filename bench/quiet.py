"""Suppresses deprecation warnings of libraries."""

from __future__ import annotations

import warnings

KNOWN = r"kafka\.|importlib\.resources|feast\."
"""modules whose DeprecationWarnings concern their own code"""


def quiet() -> None:
    """Called at the start of a command and of each process that it spawns.

    Feast, once imported, turns every DeprecationWarning of the process on; so it is imported first.
    """
    import feast  # noqa: F401

    warnings.filterwarnings("ignore", category=DeprecationWarning, module=KNOWN)
