import pytest

from freshet.commands.replay import rate


@pytest.mark.parametrize(("text", "expected"), [("300", 300), ("300/s", 300), ("90/min", 1.5), ("0.5/s", 0.5)])
def test_rates(text: str, expected: float) -> None:
    assert rate(text) == expected


@pytest.mark.parametrize("text", ["0", "-3/s", "fast", "3/h", "inf", "nan", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        rate(text)
