"""People near one another: the index over fakes, and over HTTP the people like a person, their favourites, and whom an
item suits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from feature_repo.views import CONSENT
from follow.loop import Loop
from operators.seen import seen_hashes
from recommend.item_space import ItemSpace
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Item, User
from schemas.topics import INTERACTIONS, USERS
from serving import people_search
from serving.people_index import AGAIN_S, BATCH, HELD_S, TRIES, PeopleIndex
from tests.serving.made import Api, catalogue, met, person, popular

ITEMS = [Item(f"i{k:02}", f"Film {k}", [("comedy", "drama")[k % 2]]) for k in range(30)]
VECTORS = {item.item_id: [1 - k / 30, k / 30, 0, 0] for k, item in enumerate(ITEMS)}
KEY = "secret-key"


def row_of(*liked: str, **values: Any) -> dict[str, Any]:
    row = person([("like", item) for item in liked], consent=True, **values)
    return row | {"recent_times": [now_ms() - 1000 * n for n in range(len(liked))]}


# -- the index -------------------------------------------------------------------------------------


class World:
    """An index over rows in memory."""

    def __init__(self, most: int = 100) -> None:
        self.of = catalogue(ITEMS, VECTORS)
        self.rows: dict[str, dict[str, Any]] = {}
        self.reads: list[list[str]] = []
        self.now = 1000.0
        self.away = False
        self.space: ItemSpace | None = self.of.model.user_space if self.of.model else None
        self.index = PeopleIndex(
            most, lambda: self.space, self.read, lambda user_id, row: bool(row["consent"]), lambda: self.now
        )

    def read(self, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        if self.away:
            raise ConnectionError("refused")
        self.reads.append(list(user_ids))
        return {user_id: self.rows[user_id] for user_id in user_ids if user_id in self.rows}

    def active(self, *user_ids: str) -> None:
        for user_id in user_ids:
            self.index.on_record(INTERACTIONS, user_id.encode(), b"")

    def near(self, user_id: str, k: int = 10) -> list[str]:
        return [near.user_id for near in self.index.nearest_to(user_id, self.rows[user_id], k)]


def test_how_many_are_still_to_be_read_counts_those_who_are_being_read() -> None:
    world, during = World(), list[int]()
    world.rows = {f"u{k}": row_of("i01") for k in range(BATCH + 5)}
    read = world.index._read

    def counted(user_ids: Sequence[str]) -> Any:
        during.append(world.index.waiting)
        return read(user_ids)

    world.index._read = counted
    world.active(*world.rows)
    assert world.index.waiting == BATCH + 5
    world.index.refresh()
    assert world.index.waiting == 5
    world.away = True
    with pytest.raises(ConnectionError):
        world.index.refresh()
    assert world.index.waiting == 5
    world.away = False
    world.index.refresh()
    assert (world.index.waiting, len(world.index)) == (0, BATCH + 5)
    assert all(during), "nobody is taken to be read while the last ones are"


def test_who_has_no_row_yet_is_read_again_and_so_is_who_was_active_meanwhile() -> None:
    world = World()
    world.rows["known"] = row_of("i01")
    world.active("known", "new")
    world.index.refresh()
    assert world.near("known") == []
    world.rows["new"] = row_of("i01")
    world.now += AGAIN_S
    world.index.refresh()
    assert world.near("known") == ["new"]
    assert world.reads[1] == ["new"]
    world.active("known")  # who was read long ago is read at once
    world.index.refresh()
    world.active("known")  # and who was read just now, once more later: the job may not have written the row yet
    world.index.refresh()
    assert world.reads[2:] == [["known"]]
    world.now += AGAIN_S
    world.index.refresh()
    assert world.reads[2:] == [["known"], ["known"]]


def test_who_never_gets_a_row_is_given_up() -> None:
    world = World()
    world.active("refused")
    for _ in range(1000):
        world.index.refresh()
        world.now += AGAIN_S
    assert world.reads == [["refused"]] * (1 + TRIES)


def test_whose_row_comes_after_many_minutes_is_found_with_few_reads() -> None:
    world = World()
    world.rows["known"] = row_of("i01")
    world.active("known", "late")
    for _ in range(20):  # the job reads a log from its beginning for ten minutes
        world.index.refresh()
        world.now += AGAIN_S
    in_vain = sum("late" in batch for batch in world.reads)
    assert 1 < in_vain < 8
    world.rows["late"] = row_of("i01")
    for _ in range(20):
        world.index.refresh()
        world.now += AGAIN_S
    assert world.near("known") == ["late"]


def test_who_is_active_again_does_not_wait_as_long_as_who_was_read_in_vain() -> None:
    world = World()
    world.rows["known"] = row_of("i01")
    world.active("known", "late")
    for _ in range(20):
        world.index.refresh()
        world.now += AGAIN_S
    world.active("late")  # the job writes the first row now, a moment after this read
    world.index.refresh()
    world.rows["late"] = row_of("i01")
    world.now += AGAIN_S
    world.index.refresh()
    assert world.near("known") == ["late"]


def test_no_more_people_wait_to_be_read_again_than_are_kept() -> None:
    world = World(most=3)
    for n in range(0, 9, 3):
        world.active(*(f"p{n + k}" for k in range(3)))
        world.index.refresh()
    reads = len(world.reads)
    world.now += AGAIN_S
    world.index.refresh()
    assert sum(map(len, world.reads[reads:])) == 3


def test_who_is_active_again_is_read_again_though_all_others_were_read_in_vain() -> None:
    world = World(most=3)
    world.rows["known"] = row_of("i01")
    world.active("a", "b", "c")
    for _ in range(5):
        world.index.refresh()
        world.now += AGAIN_S
    world.active("known")
    world.index.refresh()
    world.now += 1
    world.active("known")
    world.index.refresh()
    reads = len(world.reads)
    world.now += AGAIN_S
    world.index.refresh()
    assert ["known"] in world.reads[reads:]


def test_who_is_active_is_read_once_in_a_while_and_in_batches() -> None:
    world = World()
    names = [f"p{n}" for n in range(BATCH + 5)]
    world.rows = {name: row_of("i01") for name in names}
    world.active(*names, *names)
    world.index.refresh()
    world.index.refresh()
    world.index.refresh()
    assert [len(batch) for batch in world.reads] == [BATCH, 5]
    assert world.reads[0][0] == names[-1], "who was active last is read first"
    world.active("p0")
    world.index.refresh()
    assert len(world.reads) == 2
    world.now += AGAIN_S
    world.active("p0")
    world.index.refresh()
    assert world.reads[2] == ["p0"]
    assert len(world.index) == BATCH + 5


def test_the_nearest_are_of_like_taste_and_not_oneself() -> None:
    world = World()
    world.rows = {"u1": row_of("i02"), "a": row_of("i03"), "b": row_of("i28"), "nobody": row_of()}
    world.active(*world.rows)
    world.index.refresh()
    assert world.near("u1") == ["a", "b"]
    assert len(world.index) == 3, "of whom nothing is known has no place"


def test_who_withdraws_or_is_deleted_is_gone_at_once_and_is_not_put_back_by_a_row_that_is_late() -> None:
    for value in (codec.encode(User("a", consent=False)), None):
        world = World()
        world.rows = {"u1": row_of("i02"), "a": row_of("i03")}
        world.active(*world.rows)
        world.index.refresh()
        assert world.near("u1") == ["a"]
        world.index.on_record(USERS, b"a", value)
        assert world.near("u1") == []
        world.now += AGAIN_S
        world.active("a")
        world.index.refresh()
        assert world.near("u1") == [], "the row says still that they consent"
        world.rows["a"]["consent"] = False
        world.now += HELD_S
        world.active("a")
        world.index.refresh()
        assert world.near("u1") == []
        world.rows["a"]["consent"] = True
        world.index.on_record(USERS, b"a", codec.encode(User("a", consent=True)))
        world.index.refresh()
        assert world.near("u1") == ["a"]


def test_whose_row_ceases_to_consent_is_dropped_when_it_is_read() -> None:
    world = World()
    world.rows = {"u1": row_of("i02"), "a": row_of("i03")}
    world.active(*world.rows)
    world.index.refresh()
    world.rows["a"]["consent"] = False
    world.now += AGAIN_S
    world.active("a")
    world.index.refresh()
    assert world.near("u1") == []


def test_a_model_with_another_space_reads_everybody_again() -> None:
    world = World()
    world.rows = {"u1": row_of("i02"), "a": row_of("i03"), "b": row_of("i28")}
    world.active(*world.rows)
    world.index.refresh()
    other = catalogue(ITEMS, {item: [v[1], v[0], 0, 0] for item, v in VECTORS.items()}, version="v2").model
    assert other is not None
    world.space = other.user_space
    assert world.near("u1") == [], "vectors of two spaces are not compared"
    world.index.refresh()
    assert world.near("u1") == ["a", "b"]
    world.space = None
    assert world.near("u1") == []
    world.index.refresh()


def test_a_store_that_is_away_loses_nobody() -> None:
    world = World()
    world.rows = {"u1": row_of("i02"), "a": row_of("i03")}
    world.active(*world.rows)
    world.away = True
    assert not Loop("people", world.index.refresh).run_once()
    world.away = False
    world.index.refresh()
    assert world.near("u1") == ["a"]


def test_no_more_wait_than_are_kept() -> None:
    world = World(most=3)
    world.rows = {f"p{n}": row_of("i01") for n in range(10)}
    world.active(*world.rows)
    world.index.refresh()
    assert set(world.reads[0]) == {"p7", "p8", "p9"}
    assert len(world.index) == 3


def test_no_more_wait_than_are_kept_when_the_space_changes_or_the_store_is_away() -> None:
    world = World(most=3)
    world.rows = {f"p{n}": row_of("i01") for n in range(10)}
    world.active("p0", "p1", "p2")
    world.index.refresh()
    world.active("p3", "p4")
    other = catalogue(ITEMS, {item: [v[1], v[0], 0, 0] for item, v in VECTORS.items()}, version="v2").model
    assert other is not None
    world.space = other.user_space
    world.index.refresh()
    assert world.reads[-1] == ["p4", "p3", "p2"], "those who were active last"
    world.active("p5", "p6", "p7")
    world.away = True
    read = world.read

    def more_while_it_fails(user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        world.active("p8", "p9")
        return read(user_ids)

    world.index._read = more_while_it_fails
    assert not Loop("people", world.index.refresh).run_once()
    world.away = False
    world.index.refresh()
    assert len(world.reads[-1]) == 3


def test_without_a_model_who_withdraws_is_not_kept_for_ever() -> None:
    world = World()
    world.space = None
    for n in range(100):
        world.index.drop(f"p{n}")
        world.now += 1
    world.index.refresh()
    assert 0 < len(world.index._held) <= HELD_S


# -- over HTTP -------------------------------------------------------------------------------------


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Api]:
    """A server with a key, which every call carries."""
    api = Api(tmp_path / "bundles", api_key=KEY)
    api._client.headers["X-API-Key"] = KEY
    stocked(api)
    yield api
    api.close()


def stocked(api: Api) -> None:
    api.stock(ITEMS, VECTORS)
    popular(api.services.catalogue, {item.item_id: float(k) for k, item in enumerate(ITEMS)})
    api.rows.of |= {
        "u1": row_of("i02", "i03"), "ann": row_of("i03", "i05"), "bob": row_of("i04", "i05"),
        "cy": row_of("i28", "i29"),
    }  # fmt: skip
    read(api, "u1", "ann", "bob", "cy")


def read(api: Api, *active: str) -> None:
    """What the background threads do when these people are active."""
    for user_id in active:
        api.services.people.on_record(INTERACTIONS, user_id.encode(), b"")
    api.run(asyncio.to_thread(api.services.people.refresh))


def users(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["user_id"] for entry in answer.json()["users"]]


def test_people_like_a_person(keyed: Api) -> None:
    answer = keyed.get("/v1/users/u1/similar-users", n=2)
    assert users(answer) == ["ann", "bob"]
    found = answer.json()
    assert (found["people"], found["model_version"], found["degraded"]) == (4, "v1", [])
    assert found["users"][0]["similarity"] > found["users"][1]["similarity"] > 0.9
    assert [entry["rank"] for entry in found["users"]] == [0, 1]
    assert users(keyed.get("/v1/users/stranger/similar-users")) == []


def test_people_are_named_to_callers_with_the_key_alone(api: Api, keyed: Api) -> None:
    api.stock(ITEMS, VECTORS)
    for path in ("/v1/users/u1/similar-users", "/v1/items/i02/users"):
        answer = api.get(path)
        assert answer.status_code == 403
        assert "FRESHET_API_KEY" in answer.json()["detail"]
        assert keyed.ask("GET", path, headers={"X-API-Key": "wrong"}).status_code == 401


def test_whom_an_item_suits(keyed: Api) -> None:
    answer = keyed.get("/v1/items/i29/users", n=2)
    assert users(answer)[0] == "cy"
    keyed.rows.of["cy"] |= met(["i29"])
    assert "cy" not in users(keyed.get("/v1/items/i29/users", n=4)), "they have met it"
    assert keyed.get("/v1/items/absent/users").status_code == 404
    assert keyed.get("/v1/items/i29/users", n=101).status_code == 422


def test_no_more_is_read_of_people_than_is_looked_at(keyed: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{n:02}" for n in range(90)]
    keyed.rows.of |= {name: row_of("i03", f"i{n % 25:02}") for n, name in enumerate(names)}
    for _ in range(3):
        read(keyed, *names)
    keyed.rows.asked_of_people.clear()
    assert len(users(keyed.get("/v1/users/u1/similar-users", n=20))) == 20
    assert [(len(asked), fields) for asked, fields in keyed.rows.asked_of_people] == [(20, CONSENT)]
    keyed.rows.asked_of_people.clear()
    threads: list[str] = []

    def watched(row: Any) -> Any:
        threads.append(threading.current_thread().name)
        return seen_hashes(row)

    monkeypatch.setattr(people_search, "seen_hashes", watched)
    found = users(keyed.get("/v1/items/i29/users", n=20))
    assert [len(asked) for asked, _ in keyed.rows.asked_of_people] == [20]
    assert len(threads) == 20
    assert all("reader" in name for name in threads), "what they have met is not unpacked on the event loop"
    for name in found[:5]:
        keyed.rows.of[name] |= met(["i29"])
    keyed.rows.asked_of_people.clear()
    again = users(keyed.get("/v1/items/i29/users", n=20))
    assert again[:15] == found[5:]
    assert len(again) == 20
    assert [len(asked) for asked, _ in keyed.rows.asked_of_people] == [20, 20]


def test_a_new_item_has_people_at_once_by_its_content(keyed: Api) -> None:
    keyed.stock(ITEMS, VECTORS, content={"category:drama": [0, 1, 0, 0]}, version="v2")
    keyed.services.catalogue.put_item(Item("fresh", "", ["drama"]))
    read(keyed)
    assert users(keyed.get("/v1/items/fresh/users", n=1)) == ["cy"]
    keyed.services.catalogue.put_item(Item("bare"))
    answer = keyed.get("/v1/items/bare/users")
    assert (users(answer), answer.json()["degraded"]) == ([], ["retrieve"])


def test_nobody_is_named_without_consent(keyed: Api) -> None:
    assert keyed.post("/v1/users", {"user_id": "ann", "consent": False}).status_code == 202
    assert users(keyed.get("/v1/users/u1/similar-users", n=5)) == ["bob", "cy"], "posted to this server"
    keyed.rows.of["bob"]["consent"] = False
    assert users(keyed.get("/v1/users/u1/similar-users", n=5)) == ["cy"], "as the store says"
    assert users(keyed.get("/v1/items/i05/users", n=5)) == ["u1", "cy"]
    keyed.services.people.on_record(USERS, b"cy", None)
    assert users(keyed.get("/v1/users/u1/similar-users", n=5)) == []
    assert keyed.post("/v1/users", {"user_id": "u1", "consent": False}).status_code == 202
    assert users(keyed.get("/v1/users/u1/similar-users", n=5)) == [], "of a person without consent nothing is known"


def test_a_store_that_is_away_names_nobody(keyed: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> Any:
        raise ConnectionError("refused")

    monkeypatch.setattr(keyed.rows, "read_people", fail)
    answer = keyed.get("/v1/users/u1/similar-users")
    assert (users(answer), answer.json()["degraded"]) == ([], ["hydrate"])


def test_what_people_like_a_person_liked(api: Api) -> None:
    stocked(api)
    api.rows.of["u1"] |= met(["i02", "i03"])
    reads = api.rows.reads_of_people
    found = api.get("/v1/users/u1/feed", surface="people_like_you", n=4).json()
    assert found["items"][0]["item_id"] == "i05", "both of them liked it"
    reasons = {entry["item_id"]: entry["reason"] for entry in found["items"]}
    assert reasons["i05"] == {"code": "liked_by_people_like_you", "text": "People like you liked this lately"}
    assert "i03" not in reasons, "met already"
    assert found["degraded"] == []
    assert api.rows.reads_of_people == reads, "nothing is read at a request"
    assert not {"ann", "bob"} & set(str(found).split("'"))


def test_without_anybody_alike_it_is_the_home_feed(api: Api) -> None:
    api.stock(ITEMS, VECTORS)
    popular(api.services.catalogue, {item.item_id: float(k) for k, item in enumerate(ITEMS)})
    found = api.get("/v1/users/u9/feed", surface="people_like_you", n=10).json()
    assert [entry["reason"]["code"] for entry in found["items"]] == ["popular"] * 10
    assert found["degraded"] == []


def test_who_withdraws_is_out_of_the_favourites_at_once(api: Api) -> None:
    stocked(api)
    for name in ("ann", "bob"):
        assert "liked_by_people_like_you" in api.get("/v1/users/u1/feed", surface="people_like_you").text
        assert api.post("/v1/users", {"user_id": name, "consent": False}).status_code == 202
    assert "liked_by_people_like_you" not in api.get("/v1/users/u1/feed", surface="people_like_you").text


def test_a_page_has_a_row_of_them(api: Api) -> None:
    stocked(api)
    api.rows.of["dee"] = row_of("i06", "i07", "i08")
    read(api, "dee")
    rows = api.get("/v1/users/u1/page", rows=20, per_row=3).json()["rows"]
    (row,) = (row for row in rows if row["algorithm"] == "people_like_you")
    assert row["title"]["text"] == "Liked by people like you"
    assert {entry["reason"]["code"] for entry in row["items"]} == {"liked_by_people_like_you"}
