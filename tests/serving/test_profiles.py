"""People with a profile, read from Kafka when asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from follow.connection import Connection
from follow.to_end import Message
from schemas import codec
from schemas.events import User
from serving import profiles
from tests.live import Live
from tests.serving.made import Api


def test_the_latest_profile_of_each_person_and_none_of_the_deleted_or_withdrawn() -> None:
    found: dict[str, User] = {}
    for key, value in (
        (b"u1", codec.encode(User("u1", interests=["a"]))),
        (b"u2", codec.encode(User("u2"))),
        (b"u1", codec.encode(User("u1", interests=["b"]))),
        (b"u2", None),
        (b"u3", b"noise"),
        (b"u4", codec.encode(User("u4"))),
        (b"u4", codec.encode(User("u4", consent=False))),
        (None, None),
    ):
        profiles._take(found, key, value)
    assert [user for user in found.values() if user.consent is not False] == [User("u1", interests=["b"])]


def test_with_opt_in_those_alone_are_listed_who_gave_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [User("u1"), User("u2", consent=True), User("u3", consent=False), User("u4", consent=True), User("u4")]
    messages = [Message("users", 0, n, u.user_id.encode(), codec.encode(u)) for n, u in enumerate(sent)]
    monkeypatch.setattr(profiles.to_end, "read", lambda *asked: messages)
    for opt_in, expected in ((False, ["u1", "u2", "u4"]), (True, ["u2", "u4"])):
        assert [user.user_id for user in profiles.latest(Connection("nowhere"), opt_in=opt_in)] == expected


@pytest.fixture
def listing(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path, list_users=True)
    yield api
    api.close()


def test_an_answer_is_kept_for_a_while_and_a_failure_is_not(listing: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[], [User("u1"), User("u2")]]
    monkeypatch.setattr(profiles, "latest", lambda connection, opt_in: answers.pop(0))
    assert listing.get("/v1/users").json() == {"users": []}
    for n, expected in ((20, ["u1", "u2"]), (1, ["u1"])):
        assert [user["user_id"] for user in listing.get("/v1/users", n=n).json()["users"]] == expected


def test_without_a_key_profiles_are_not_listed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "latest", lambda connection, opt_in: [User("u1")])
    answer = api.get("/v1/users")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    assert "(FRESHET_API_KEY), or where FRESHET_LIST_USERS=true, fit for public data only," in answer.json()["detail"]
    assert ". Settings are read when the server starts: export them" in answer.json()["detail"]
    assert "`freshet down --only server` and `freshet up`" in answer.json()["detail"]


def test_with_a_key_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "latest", lambda connection, opt_in: [User("u1")])
    api = Api(tmp_path, api_key="s3cret")
    assert api.get("/v1/users").status_code == 401
    answer = api.ask("GET", "/v1/users", headers={"X-API-Key": "s3cret"})
    assert [user["user_id"] for user in answer.json()["users"]] == ["u1"]
    api.close()


@pytest.mark.parametrize("n", ["0", "101", "many"])
def test_how_many_has_limits(api: Api, n: str) -> None:
    assert api.get("/v1/users", n=n).status_code == 422


def test_people_of_the_topic(live: Live) -> None:
    found = live.http.get("/v1/users", params={"n": 100}).json()["users"]
    assert {user["user_id"] for user in found} >= {f"u{n}" for n in range(40)}
