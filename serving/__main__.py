"""`python -m serving`: one process under uvicorn, on loopback by default."""

from __future__ import annotations

import gc
import logging
import sys

import uvicorn

from serving.app import create_app
from serving.settings import ServingSettings

SWITCH_S = 0.0005
"""Python's default of 5 ms between threads is longer than a whole feed takes"""


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    settings = ServingSettings()
    sys.setswitchinterval(SWITCH_S)
    app = create_app(settings)
    # Objects that exist at the start stay: collecting over them again shows in the slowest requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.http_port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
