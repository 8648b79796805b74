from collections import defaultdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from follow.connection import Connection
from freshet.commands import demo
from freshet.features import feast
from freshet.local import mini_cluster
from freshet.local.flink import Flink
from freshet.local.server import Server
from freshet.settings import Settings, check_all, setting_name
from tests.bundles import write_bundle


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a developer's own .env has no say here


def test_the_environment_sets_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_KAFKA_PORT", "12345")
    monkeypatch.setenv("FRESHET_API_KEY", "secret")
    settings = Settings()
    assert settings.kafka == "127.0.0.1:12345"
    assert settings.api_key is not None
    assert "secret" not in repr(settings)


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("FRESHET_REDIS_PORT=1111\nFRESHET_HTTP_PORT=2222\n")
    monkeypatch.setenv("FRESHET_HTTP_PORT", "3333")
    assert (Settings().redis, Settings().http_port) == ("127.0.0.1:1111", 3333)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_API_KEY", "")
    assert Settings().api_key is None


def test_the_cache_follows_the_xdg_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Settings().cache == tmp_path / "freshet"


@pytest.mark.parametrize(("field", "value"), [("kafka_port", "0"), ("kafka_port", "x"), ("flink_heap", "lots")])
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, field: str, value: str) -> None:
    monkeypatch.setenv(setting_name(field), value)
    with pytest.raises(ValidationError, match=field):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("FRESHET_STATE_BACKEND", "foo"), ("FRESHET_CHECKPOINT_SECONDS", "-1"), ("FRESHET_STORE_TIMEOUT_MS", "abc")],
)
def test_what_the_parts_would_refuse_is_refused_before_they_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        check_all()
    assert [setting_name(str(error["loc"][0])) for error in refused.value.errors()] == [name]


def test_a_variable_that_is_no_setting_is_named_with_the_nearest_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_all() == []
    monkeypatch.setenv(setting_name("store_timeout"), "40")
    assert check_all() == [f"{setting_name('store_timeout')} is no setting; FRESHET_STORE_TIMEOUT_MS is"]


# -- passwords and TLS -----------------------------------------------------------------------------


def test_secrets_are_passed_on_to_what_is_started_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("FRESHET_KAFKA_USERNAME=me\nFRESHET_KAFKA_PASSWORD=from the file\n")
    monkeypatch.setenv("FRESHET_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("FRESHET_REDIS_PASSWORD", "of redis")
    settings = Settings()
    assert settings.secrets == {
        "FRESHET_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "FRESHET_KAFKA_SASL_MECHANISM": "PLAIN",
        "FRESHET_KAFKA_USERNAME": "me", "FRESHET_KAFKA_PASSWORD": "from the file", "FRESHET_REDIS_PASSWORD": "of redis",
    }  # fmt: skip
    assert "from the file" not in repr(settings)
    assert "of redis" not in repr(settings)
    for component in (Server(), Flink()):
        monkeypatch.setattr(mini_cluster.jars, "fetch", lambda *_, **__: [])
        launch = component.prepare(settings, print)
        assert launch.env.items() >= settings.secrets.items()
        assert not [word for word in launch.argv if "from the file" in word or "of redis" in word]
    assert "of redis" not in feast.write_config(settings).read_text()


def test_the_variables_of_passwords_and_tls_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("FRESHET_REDIS_TLS", "true")
    assert check_all() == []


def test_brokers_of_ones_own_are_used_where_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().connection == Connection("127.0.0.1:19092")
    monkeypatch.setenv("FRESHET_KAFKA", "one:9092,two:9092")
    assert Settings().connection.bootstrap == "one:9092,two:9092"
    assert Settings().own_kafka == "127.0.0.1:19092"


def _server(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """The environment that the server is started with, and what is reported."""
    said: list[str] = []
    return dict(Server().prepare(settings, said.append).env), said


@pytest.mark.parametrize("variable", ["", "FRESHET_LIST_USERS", "FRESHET_API_KEY"])
def test_profiles_of_the_demo_are_listed_by_its_own_server_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    started: list[str] = []

    class Started:
        def __init__(self, settings: Settings, **_: object) -> None:
            self._settings = settings

        def up(self, names: object = None) -> None:
            started.append(_server(self._settings)[0]["FRESHET_LIST_USERS"])

    if variable:
        monkeypatch.setenv(variable, "true")
    monkeypatch.setattr(demo, "Stack", Started)
    monkeypatch.setattr(demo, "load", lambda *_: 0)
    monkeypatch.setattr(demo, "_has_model", lambda _: True)
    monkeypatch.setattr(demo, "_prepared", lambda *_: defaultdict(Path))
    monkeypatch.setattr(demo.datasets, "movielens", lambda: None)
    monkeypatch.setattr(demo.background, "problems", lambda *_: [])
    assert demo.demo() == 0
    assert started == ["true", "true"]
    assert ("export FRESHET_LIST_USERS=true" in capsys.readouterr().out) is not bool(variable)
    after = {**_server(Settings())[0]}
    assert after["FRESHET_LIST_USERS"] == str(variable == "FRESHET_LIST_USERS").lower()


def test_a_server_that_has_lost_its_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _server(Settings())[1] == []
    monkeypatch.setenv("FRESHET_API_KEY", "s3cret")
    env, said = _server(Settings())
    assert (env["FRESHET_API_KEY"], said) == ("s3cret", [])
    monkeypatch.delenv("FRESHET_API_KEY")
    env, said = _server(Settings())
    assert "FRESHET_API_KEY" not in env
    assert "set FRESHET_API_KEY in the environment or in .env, then `freshet down --only server`" in said[0]
    assert not [path for path in Settings().root.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert _server(Settings())[1] == [], "it is said once"


def test_the_demo_fits_a_model_where_the_published_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings()
    assert not demo._has_model(settings)
    version = write_bundle(settings.bundles, ["i1"])
    assert demo._has_model(settings)
    (settings.bundles / version / "spaces" / "items" / "ids.jsonl").write_text("[]")
    assert not demo._has_model(settings)
    assert "checksum differs" in capsys.readouterr().out
