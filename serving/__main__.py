"""`python -m serving`: the server, in as many processes as FRESHET_SERVER_PROCESSES says, on loopback by default."""

from __future__ import annotations

import os
import sys

# Before numpy is imported, for OpenBLAS reads it once. A request's few hundred rows are no work to share: two threads
# that spin for one another made a product of (500, 64) and (64, 20) take 13 ms instead of 0.14. Processes that this one
# starts inherit it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from schemas.errors import FreshetError
from serving import supervisor
from serving.settings import ServingSettings


def main() -> int:
    """Exit status 1 where the server cannot start; what a team declares wrongly is named in one line."""
    settings = ServingSettings()
    if settings.server_processes > 1:
        return supervisor.run(settings.host, settings.http_port, settings.server_processes)
    from serving import process  # the supervisor does without the application

    try:
        process.run_alone(settings)
    except FreshetError as error:
        print(f"the server cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
