"""The recommendation server: `python -m serving`, one process under uvicorn."""

import sys
from collections.abc import Mapping

from freshet.local import components
from freshet.local.components import Launch, Reporter
from freshet.local.processes import ONE_BLAS_THREAD
from freshet.settings import Settings


class Server:
    name = "server"
    grace = 15.0

    def ports(self, settings: Settings) -> Mapping[str, int]:
        return {"http_port": settings.http_port}

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        env = {
            "FRESHET_HOST": settings.host,
            "FRESHET_HTTP_PORT": str(settings.http_port),
            "FRESHET_KAFKA": settings.kafka,
            **settings.secrets,
            "FRESHET_BUNDLES": str(settings.bundles),
            "FRESHET_FEATURE_STORE": str(settings.feature_store),
            "FRESHET_LIST_USERS": str(settings.list_users).lower(),
            **ONE_BLAS_THREAD,
        }
        if settings.api_key:
            env["FRESHET_API_KEY"] = settings.api_key.get_secret_value()
        return Launch([sys.executable, "-m", "serving"], env)

    def is_ready(self, settings: Settings) -> bool:
        import httpx

        try:
            return (
                httpx.get(f"{settings.http_url}/readyz", timeout=components.ANSWER_S, trust_env=False).status_code
                == 200
            )
        except httpx.TimeoutException as late:
            raise TimeoutError from late
        except httpx.HTTPError:
            return False

    def started(self, settings: Settings, report: Reporter) -> None:
        return None

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        return None
