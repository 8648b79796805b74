import re
import subprocess
import sys
from pathlib import Path

import pytest

from freshet.cli import main


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("up", "down", "status", "logs", "import", "replay", "train", "bench", "demo"):
        assert f" {name} " in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from freshet.cli import main; main(['--help']); "
        "print([m for m in ('pyflink', 'feast', 'kafka', 'redis', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_a_log_of_no_component_gets_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "nope"]) == 2
    said = capsys.readouterr()
    assert [n for n in ("nope", "kafka", "redis", "flink", "server", "feast") if n not in said.out + said.err] == []


@pytest.mark.parametrize("words", [["up", "--nonsense"], ["nonsense"], ["import", "--items"]])
def test_a_wrong_command_line_has_status_2(words: list[str]) -> None:
    assert main(words) == 2


def test_a_wrong_setting_has_status_2_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHET_KAFKA_PORT", "none")
    assert main(["status"]) == 2
    assert "FRESHET_KAFKA_PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import"], "nothing to import"),
        (["import", "--items", "absent.jsonl"], "absent.jsonl is not a file"),
        (["logs"], "nothing was started"),
        (["up", "--only", "zookeeper"], "no component is named zookeeper"),
    ],
)
def test_a_failure_has_status_1_and_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_status_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    assert "stopped" in capsys.readouterr().out


def test_down_of_nothing_is_fine() -> None:
    assert main(["down"]) == 0


@pytest.mark.parametrize(("options", "shown"), [((), False), (("-W", "default"), True)])
def test_warnings_of_libraries_are_shown_on_demand_alone(options: tuple[str, ...], shown: bool) -> None:
    code = (
        "from freshet.cli import main; main(['--version'])\n"
        "import warnings; warnings.simplefilter('once', DeprecationWarning)\n"  # as Feast does
        "warnings.warn('of a library', DeprecationWarning)"
    )
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)
    assert ("of a library" in done.stderr) is shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bench feed --item 10", "Unknown option: --item. Did you mean --items?"),
        ("up --files x", "Unknown option: --files. It takes --only, --without, --restore."),
        ("features list --files", "It takes no options."),
        ("import a.jsonl", "Unused Tokens: ['a.jsonl']. It takes --items, --users,"),
        ("bench throughput --features 0 40", "Several values are separated by commas: --features 0,40"),
        ("bench feed --items=10 20 30 --users 5", "Several values are separated by commas: --items 10,20,30"),
        ("bench feed --users 5 6", "It takes --items, --users,"),
        ("bench feed --users 5 --items 10 5", "Several values are separated by commas: --items 10,5"),
        ("bench feed --items 1 --items 10 20", "Several values are separated by commas: --items 10,20"),
        ("bench feed 5 --users 5", "It takes --items, --users,"),
        ("up --only kafka redis", "Several values are separated by commas: --only kafka,redis"),
    ],
)
def test_a_wrong_option_gets_the_near_or_the_known_ones(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert together(message) in together(capsys.readouterr().err)


def test_values_of_the_next_option_are_not_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "feed", "--items", "10", "20", "--users", "5", "6"]) == 2
    assert together(capsys.readouterr().err).endswith(together("are separated by commas: --items 10,20"))


def together(said: str) -> str:
    """What is said in a panel, however it is wrapped."""
    return re.sub(r"[\s│╭╮╰╯─]", "", said)


def test_a_wrong_option_is_shown_in_full_at_the_width_of_now(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (80, 200, 25, 12):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(["up", "--only", "kafka", "redis-of-a-long-name"]) == 2
        shown = capsys.readouterr().err
        assert {len(line) for line in shown.splitlines()} == {width}
        assert together("are separated by commas: --only kafka,redis-of-a-long-name") in together(shown)


def test_names_of_components_are_separated_by_commas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--only", "kafka, redis,"]) == 0
    assert main(["down", "--only", "kafka,zookeeper"]) == 1
    assert "no component is named zookeeper" in capsys.readouterr().err
