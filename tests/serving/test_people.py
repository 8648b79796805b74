"""People with a profile, read from Kafka when asked."""

from __future__ import annotations

import pytest

from schemas import codec
from schemas.events import User
from serving import people
from tests.serving.conftest import Live
from tests.serving.made import Api


def test_the_latest_profile_of_each_person_and_none_of_the_deleted() -> None:
    found: dict[str, User] = {}
    for key, value in (
        (b"u1", codec.encode(User("u1", interests=["a"]))),
        (b"u2", codec.encode(User("u2"))),
        (b"u1", codec.encode(User("u1", interests=["b"]))),
        (b"u2", None),
        (b"u3", b"noise"),
        (None, None),
    ):
        people._take(found, key, value)
    assert found == {"u1": User("u1", interests=["b"])}


def test_an_answer_is_kept_for_a_while_and_a_failure_is_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[], [User("u1"), User("u2")]]
    monkeypatch.setattr(people, "latest", lambda connection: answers.pop(0))
    assert api.get("/v1/users").json() == {"users": []}
    for n, expected in ((20, ["u1", "u2"]), (1, ["u1"])):
        assert [user["user_id"] for user in api.get("/v1/users", n=n).json()["users"]] == expected


@pytest.mark.parametrize("n", ["0", "101", "many"])
def test_how_many_has_limits(api: Api, n: str) -> None:
    assert api.get("/v1/users", n=n).status_code == 422


def test_people_of_the_topic(live: Live) -> None:
    found = live.http.get("/v1/users", params={"n": 100}).json()["users"]
    assert {user["user_id"] for user in found} >= {f"u{n}" for n in range(40)}
