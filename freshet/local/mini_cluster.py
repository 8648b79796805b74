"""The Flink mini cluster that runs each job: the main job (freshet/local/flink.py) and a distributed
backfill (freshet/features/distributed.py)."""

import os
import shlex
import sysconfig
from pathlib import Path

from freshet.local import jars
from freshet.local.components import Reporter
from freshet.local.java import java_home
from freshet.local.processes import ONE_BLAS_THREAD, base_env
from freshet.settings import Settings

# All of Flink's log goes to the process's own output, which the stack keeps in logs/flink.log.
_LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = CONSOLE
appender.out.target = SYSTEM_OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1} - %m%n
logger.jobs.name = org.apache.flink.runtime.executiongraph.ExecutionGraph
logger.jobs.level = INFO
"""
# Whose warnings come at every start or checkpoint and say nothing: two committers have metrics of one name, our
# operators' names are long, nobody uses Kerberos, a shaded client does not find its own version. Errors are shown.
_CHATTY = {
    "metrics": "org.apache.flink.metrics.MetricGroup",
    "names": "org.apache.flink.runtime.metrics.util.MetricUtils",
    "tokens": "org.apache.flink.runtime.security.token.DefaultDelegationTokenManager",
    "versions": "org.apache.flink.kafka.shaded.org.apache.kafka.common.utils.AppInfoParser",
}
_LOG4J += "".join(f"logger.{key}.name = {name}\nlogger.{key}.level = ERROR\n" for key, name in _CHATTY.items())


def environment(settings: Settings, scratch: Path, report: Reporter) -> dict[str, str]:
    """Environment variables: jars, Java, logs, and how Kafka is reached. Jars are unpacked in `scratch`."""
    connectors = jars.fetch("flink", settings.cache, report=report)
    for folder in (settings.run, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    log4j = settings.run / "log4j.properties"
    log4j.write_text(_LOG4J)
    return {
        "FRESHET_KAFKA": settings.kafka,
        **settings.secrets,
        "FRESHET_BUNDLES": str(settings.bundles),
        "FRESHET_JARS": ";".join(path.absolute().as_uri() for path in connectors),
        "JAVA_HOME": str(_java_with_one_output(settings, scratch)),
        # The optimizing compiler took 22 s of processor in the first 90 s. It makes some 15 % more events a second of
        # them later.
        "JVM_ARGS": f"-Xmx{settings.flink_heap} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmn128m",
        "TMPDIR": str(scratch),
        "LOG4J_PROPERTIES": str(log4j),
        "FLINK_LOG_DIR": str(settings.logs),
        # In thread mode the interpreter inside the JVM finds its packages through this variable alone.
        "PYTHONPATH": os.pathsep.join([base_env()["PYTHONPATH"], sysconfig.get_path("purelib")]),
        # Otherwise PyFlink starts servers for workers outside the JVM, on all addresses; thread mode has none.
        "_python_worker_execution_mode": "process",
        **ONE_BLAS_THREAD,
    }


def _java_with_one_output(settings: Settings, scratch: Path) -> Path:
    """A JAVA_HOME whose `java` writes its errors to its output.

    PyFlink gives the JVM a pipe for its errors and never reads it: once it held 64 KB of Python warnings, the job
    would block.
    """
    real = java_home(settings.java) / "bin" / "java"
    home = scratch / "java"
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    temporary = shlex.quote(f"-Djava.io.tmpdir={scratch}")
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(real))} {temporary} "$@" 2>&1\n')
    program.chmod(0o755)
    return home
