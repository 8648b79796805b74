"""The recommendation server: `python -m serving`, in one process or several."""

import sys
import time
from collections.abc import Mapping

import msgspec

from freshet.errors import NotReady
from freshet.local import components
from freshet.local.components import Launch, Reporter
from freshet.settings import Settings, setting_name
from recommend import surfaces
from serving.siblings import ProcessState

POLL_S = 0.2


class Server:
    name = "server"
    grace = 15.0

    def ports(self, settings: Settings) -> Mapping[str, int]:
        return {"http_port": settings.http_port}

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        """Raises SurfaceError where a team's own surfaces cannot be used: the server would not start."""
        surfaces.declared()
        env = {
            "FRESHET_HOST": settings.host,
            "FRESHET_HTTP_PORT": str(settings.http_port),
            "FRESHET_KAFKA": settings.kafka,
            **settings.secrets,
            "FRESHET_BUNDLES": str(settings.bundles),
            "FRESHET_RECORDS": str(settings.records),
            "FRESHET_FEATURE_STORE": str(settings.feature_store),
            "FRESHET_LIST_USERS": str(settings.list_users).lower(),
            setting_name("server_processes"): str(settings.server_processes),
        }
        if settings.api_key:
            env["FRESHET_API_KEY"] = settings.api_key.get_secret_value()
        _report_access(settings, report)
        return Launch([sys.executable, "-m", "serving"], env)

    def is_ready(self, settings: Settings) -> bool:
        import httpx

        try:
            answer = httpx.get(f"{settings.http_url}/readyz", timeout=components.ANSWER_S, trust_env=False)
        except httpx.TimeoutException as late:
            raise TimeoutError from late
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def started(self, settings: Settings, report: Reporter) -> None:
        """Waits for the other processes: the server is ready with the first."""
        deadline = time.monotonic() + settings.start_timeout
        while settings.server_processes > 1:
            states = [process.state for process in processes(settings)]
            if states and set(states) == {"serving"}:
                report(f"server: {len(states)} processes serve")
                return
            if time.monotonic() > deadline:
                raise NotReady(
                    f"not every process of the server serves within {settings.start_timeout:.0f} s "
                    f"({setting_name('start_timeout')}): {', '.join(states) or 'no answer'}; see `freshet logs server`"
                )
            time.sleep(POLL_S)

    def kept(self, settings: Settings, report: Reporter) -> None:
        return None

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        return None


def _report_access(settings: Settings, report: Reporter) -> None:
    """Reports that the server has lost its API key since its last start."""
    settings.root.mkdir(parents=True, exist_ok=True)
    if settings.api_key:
        settings.had_key.touch()
        return
    if settings.had_key.exists():
        report(
            "server: it had an API key at its last start and has none now, so that everybody may call it, and what is "
            f"for callers with the key is refused (403); set {setting_name('api_key')} in the environment or in .env, "
            "then `freshet down --only server` and `freshet up`"
        )
        settings.had_key.unlink()


def processes(settings: Settings) -> list[ProcessState]:
    """The server's processes on its port; empty where there is only one, or no answer."""
    import httpx

    try:
        answer = httpx.get(f"{settings.http_url}/readyz", timeout=components.ANSWER_S, trust_env=False)
        return msgspec.convert(answer.json()["processes"], list[ProcessState])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return []
