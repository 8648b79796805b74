"""`python -m serving`: the server, in as many processes as FRESHET_SERVER_PROCESSES says, on loopback by default."""

from __future__ import annotations

import os

# Before numpy is imported, for OpenBLAS reads it once. A request's few hundred rows are no work to share: two threads
# that spin for one another made a product of (500, 64) and (64, 20) take 13 ms instead of 0.14. Processes that this one
# starts inherit it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from serving import supervisor
from serving.settings import ServingSettings


def main() -> int:
    """Exit status 1 where the server cannot start."""
    settings = ServingSettings()
    if settings.server_processes > 1:
        return supervisor.run(settings.host, settings.http_port, settings.server_processes)
    from serving import process  # the supervisor does without the application

    process.run_alone(settings)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
