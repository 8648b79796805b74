"""One Kafka broker in KRaft mode (no ZooKeeper), run from the pinned jars."""

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from freshet.errors import ComponentError
from freshet.local import components, jars, ports, topics
from freshet.local.components import Launch, Reporter
from freshet.local.java import java_home
from freshet.local.processes import base_env
from freshet.settings import Settings

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes=1048576
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
controlled.shutdown.max.retries=1
"""
# The dedupe buffer is 128 MB by default, a quarter of our heap, for a log cleaner with little to clean.


class Kafka:
    name = "kafka"
    grace = 30.0

    def ports(self, settings: Settings) -> Mapping[str, int]:
        return {"kafka_port": settings.kafka_port, "kafka_controller_port": settings.kafka_controller_port}

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        self.check(settings)
        java = java_home(settings.java) / "bin" / "java"
        classpath = os.pathsep.join(map(str, jars.fetch("kafka", settings.cache, report=report)))
        data = settings.root / "kafka"
        properties = settings.run / "kafka.properties"
        properties.parent.mkdir(parents=True, exist_ok=True)
        properties.write_text(
            _PROPERTIES.format(
                host=settings.host,
                port=settings.kafka_port,
                controller_port=settings.kafka_controller_port,
                data=data,
            )
        )
        if not (data / "meta.properties").exists():
            _format(java, classpath, properties)
        # Two cores are shared with Flink and the server: one collector thread, and no compiler that works for minutes.
        heap = [f"-Xmx{settings.kafka_heap}", f"-Xms{settings.kafka_heap}", "-XX:+UseSerialGC"]
        few = ["-XX:TieredStopAtLevel=1"]
        log = [
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        ]
        argv = [str(java), *heap, *few, *log, "-Djava.awt.headless=true", "-cp", classpath, "kafka.Kafka"]
        return Launch([*argv, str(properties)])

    def check(self, settings: Settings) -> None:
        """Raises ComponentError where the Kafka settings do not fit the local broker."""
        if settings.kafka != settings.own_kafka or settings.kafka_security.security_protocol != "PLAINTEXT":
            raise ComponentError(
                "FRESHET_KAFKA and FRESHET_KAFKA_SECURITY_PROTOCOL are of brokers of your own; the local one listens "
                f"at {settings.own_kafka}, in plain text: leave them out, or start the rest alone "
                "(`freshet up --without kafka`)"
            )

    def is_ready(self, settings: Settings) -> bool:
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaConfigurationError, KafkaError, KafkaTimeoutError

        # The client keeps a thread when it cannot connect, so it is made only where somebody listens.
        if not ports.is_listening(settings.host, settings.kafka_port):
            return False
        try:
            patience = int(components.ANSWER_S * 1000)
            admin = KafkaAdminClient(
                bootstrap_servers=settings.own_kafka, request_timeout_ms=patience, bootstrap_timeout_ms=patience
            )
        except KafkaConfigurationError:
            raise  # our own mistake, which waiting does not mend
        except KafkaTimeoutError as late:
            raise TimeoutError from late
        except (KafkaError, OSError):
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaTimeoutError as late:
            raise TimeoutError from late
        except (KafkaError, OSError):
            return False
        finally:
            admin.close()

    def started(self, settings: Settings, report: Reporter) -> None:
        created = topics.create(settings.connection, settings.partitions)
        if created:
            report(f"created topics {', '.join(created)}")

    def kept(self, settings: Settings, report: Reporter) -> None:
        """Creates the topics that the broker lacks since it was started by an earlier version."""
        self.started(settings, report)

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        return None


def _format(java: Path, classpath: str, properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if cluster.startswith("-"):
        cluster = "A" + cluster[1:]  # else the tool reads the id as an option
    command = [str(java), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath, "kafka.tools.StorageTool"]
    done = subprocess.run(
        [*command, "format", "--cluster-id", cluster, "--config", str(properties)],
        env=base_env(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise ComponentError(f"kafka: the data folder could not be formatted: {(done.stderr or done.stdout).strip()}")
