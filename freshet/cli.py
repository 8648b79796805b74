"""`freshet`: the command line. A command is imported when it is called, so that `freshet --help` is quick."""

import logging
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Group

from freshet import usage
from schemas.errors import FreshetError

if TYPE_CHECKING:
    from pydantic import ValidationError

app = App(
    name="freshet",
    help="Freshet, a real-time personalization engine: an event in Kafka changes the next feed.\n\n"
    "`freshet demo` shows all of it with real films. `freshet up` starts Kafka, Redis, Flink and the server on this "
    "machine, `freshet import` loads your own items, users and events, `freshet train` fits a model to them.",
)

_FIRST = Group("First steps", sort_key=1)
_STACK = Group("The local stack", sort_key=2)
_DATA = Group("Data and models", sort_key=3)
_WORK = Group("Measuring and upkeep", sort_key=4)

COMMANDS = (
    (_FIRST, "demo", "freshet.commands.demo:demo", "Real films for real people: data, model, stack and page at once."),
    (_STACK, "up", "freshet.commands.stack:up", "Start Kafka, Redis, Flink and the server, whichever is missing."),
    (_STACK, "down", "freshet.commands.stack:down", "Stop them. The job's state is kept in a savepoint."),
    (_STACK, "status", "freshet.commands.stack:status", "Show what runs, and where."),
    (_STACK, "logs", "freshet.commands.stack:logs", "Show the log of a component, or of all."),
    (_DATA, "import", "freshet.commands.load:load", "Send files of JSON lines to Kafka."),
    (_DATA, "replay", "freshet.commands.replay:replay", "Send a file of interactions at a chosen rate."),
    (_DATA, "train", "freshet.commands.train:train", "Fit a model to the event log and write a bundle."),
    (
        _DATA,
        "features",
        "freshet.commands.features:app",
        "Look at declared features, try them, apply and backfill them.",
    ),
    (_DATA, "surfaces", "freshet.commands.surfaces:app", "List surfaces, show their stages, and try them on a person."),
    (_DATA, "digests", "freshet.commands.digests:app", "Send what a surface answers to people, as messages."),
    (_DATA, "rules", "freshet.commands.rules:app", "Look at the rules of merchandisers, change and try them."),
    (_DATA, "explain", "freshet.commands.explain:explain", "Compute a past answer again, and say how it came about."),
    (_WORK, "bench", "bench.cli:app", "Measure freshness, throughput and feed latency."),
    (_WORK, "jars", "freshet.commands.jars:app", "Fetch the jars of Kafka and Flink, or pin them anew."),
)
for group, name, where, summary in COMMANDS:
    app.command(where, name=name, help=summary, group=group)


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 failed, 2 the command line or a setting was wrong; 3 and 4 as
    `freshet explain --help` says."""
    from pydantic import ValidationError

    # kafka-python's event loop warns whenever somebody else had the interpreter for 0.1 s: a busy machine, no fault.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    if not sys.warnoptions:  # Feast switches DeprecationWarning on again for every library; `python -W …` shows them
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").setLevel(logging.CRITICAL)
    tokens = sys.argv[1:] if argv is None else argv
    names = [command[1] for command in COMMANDS]
    if tokens and not tokens[0].startswith("-") and tokens[0] not in names:
        # Asked here, because cyclopts would import every command to look for the nearest name.
        near = get_close_matches(tokens[0], names, 1)
        return _fail(f"no command {tokens[0]!r}" + (f", did you mean {near[0]!r}?" if near else "; see --help"), 2)
    try:
        result = app(tokens, exit_on_error=False, result_action="return_value", print_error=False)
    except FreshetError as error:
        return _fail(str(error), 1)
    except ValidationError as error:
        return _fail("\n".join(_setting_problems(error)), 2)
    except ImportError as error:
        missing = error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else error
        if not isinstance(missing, ModuleNotFoundError):
            raise
        return _fail(f"{tokens[0]} needs {missing.name}, which is not installed: run `make setup`", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return 0  # `freshet logs | head` closes our output early
    except CycloptsError as error:
        usage.show(error)
        return 2
    return result if isinstance(result, int) else 0


def _setting_problems(error: "ValidationError") -> list[str]:
    from freshet.settings import setting_name

    return [f"{setting_name('_'.join(map(str, e['loc'])))}: {e['msg']}" for e in error.errors()]


def _fail(message: str, status: int) -> int:
    print(f"freshet: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
