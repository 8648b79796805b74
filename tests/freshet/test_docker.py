"""The container files cannot be run without a Docker daemon; what can be held without one is held here."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*.yaml")), ids=lambda path: path.name)
def test_it_is_yaml(path: Path) -> None:
    assert list(yaml.safe_load_all(path.read_text()))


def test_services_depend_on_services_and_use_declared_volumes() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert service.get("image"), name
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in compose["volumes"], name


def test_every_build_target_exists() -> None:
    stages = [line.split()[-1] for line in (DOCKER / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")]
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    targets = {service["build"]["target"] for service in compose["services"].values() if "build" in service}
    assert targets <= set(stages)


def test_flink_has_the_version_of_the_python_package() -> None:
    assert "flink:2.3.0-" in (DOCKER / "Dockerfile").read_text()
    assert '"apache-flink==2.3.0"' in (ROOT / "pyproject.toml").read_text()


def test_nothing_is_published_beyond_loopback() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    published = [(name, port) for name, service in services.items() for port in service.get("ports", ())]
    assert {name for name, _ in published} == {"kafka", "valkey", "jobmanager", "server"}
    for name, port in published:
        host = port.get("host_ip") if isinstance(port, dict) else port.rpartition(":")[0].rpartition(":")[0]
        assert host in ("127.0.0.1", "[::1]"), f"{name} publishes {port}"
    assert not [name for name, service in services.items() if service.get("network_mode")]


def test_redis_has_a_password_that_the_file_does_not_say() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert 'requirepass "%s"' in services["valkey"]["command"][-1]
    assert services["valkey"]["environment"]["VALKEY_PASSWORD"].startswith("${FRESHET_REDIS_PASSWORD:?")
    for name in ("setup", "jobmanager", "taskmanager", "job", "server"):
        assert services[name]["environment"]["FRESHET_REDIS_PASSWORD"].startswith("${FRESHET_REDIS_PASSWORD:?"), name
