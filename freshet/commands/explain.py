"""`freshet explain`: a past answer computed again from its record, the bundle and the rules of then."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from freshet.settings import Settings

if TYPE_CHECKING:
    from feature_repo.repository import Repository
    from recommend.pipeline import Answer
    from serving.answer_record import AnswerRecord
    from serving.replay import ReplayedAnswer

console = Console(highlight=False)
MISSING, DIFFERENT = 3, 4
"""exit statuses"""
NARROW: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "bold"}
FEATURES = 4
"""features of an item that are printed, those of the largest size"""
STORE_S = 5.0


def explain(
    request_id: str,
    *,
    records: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Compute a past answer again, and say how it came about. Servers record a share of their answers:
    FRESHET_RECORD_SHARE.

    Exit status 3 where a part is missing, which is named: the record, the bundle, the rules, the person's consent. 4
    where the answer is not the same, byte for byte.

    Parameters
    ----------
    request_id
        The `request_id` of the answer; of a page also that of one of its rows.
    records
        The file of recorded answers; that of the local stack where not given.
    as_json
        Print the body of the answer instead.
    """
    from feature_repo import registry
    from recommend.surfaces import declared
    from serving import replay
    from serving.record_store import RecordStore
    from serving.settings import ServingSettings

    settings = Settings()
    store = RecordStore(records or settings.records)
    try:
        entry = store.find(request_id) or store.find(of_page(request_id))
        if entry is None:
            raise replay.MissingPart(
                "record", f"{request_id} is not in {store.path}: it was not recorded (FRESHET_RECORD_SHARE says what "
                "share of answers is), has expired, or was deleted since the person withdrew consent",
            )  # fmt: skip
        found = replay.read(entry.record)
        features = registry.load(ServingSettings().definitions)
        if entry.user_id:
            check_consent(found, entry.user_id, read_row(settings, features, entry.user_id), ServingSettings().opt_in)
        text = store.rules(found.rules) if found.rules else None
        models = replay.models_of(settings.bundles, features)
        surfaces = {surface.name: surface for surface in declared()}
        made = replay.replay(found, text, models, surfaces, features)
    except replay.MissingPart as error:
        print(f"freshet: missing: {error}", file=sys.stderr)
        return MISSING
    if as_json:
        sys.stdout.write(made.body.decode() + "\n")
    else:
        show(made, entry.at)
    if made.differs:
        print(f"freshet: the answer is not the same as then: {made.differs}", file=sys.stderr)
        return DIFFERENT
    return 0


def of_page(request_id: str) -> str:
    """The id of the page that a row is of, whose own is `PAGE-NUMBER` (serving/page_answers.py)."""
    return request_id.rpartition("-")[0]


def read_row(settings: Settings, declared: Repository, user_id: str) -> Mapping[str, Any] | None:
    """The person's row as it is now. Raises MissingPart where the online store does not answer."""
    from redis.exceptions import RedisError

    from feature_repo.store import UserReader
    from serving.replay import MissingPart

    try:
        reader = UserReader(settings.feature_store, STORE_S, declared.reads)
        try:
            return reader.read(user_id)
        finally:
            reader.close()
    except (RedisError, OSError) as error:
        raise MissingPart("consent", f"the online store does not say whether it was withdrawn ({error})") from None


def check_consent(found: AnswerRecord, user_id: str, row: Mapping[str, Any] | None, opt_in: bool) -> None:
    """Raises MissingPart where the person has withdrawn consent, or was deleted, since the answer."""
    from serving.replay import MissingPart

    if row is None:
        if opt_in or found.person:
            raise MissingPart("consent", f"the online store does not have {user_id} any more")
    elif not (row["consent"] and (row["consent_given"] or not opt_in)):
        raise MissingPart("consent", f"{user_id} has withdrawn it")


def show(made: ReplayedAnswer, at: int) -> None:
    """Prints the person, the request, and of each list every stage and the items with what led to them."""
    record = made.record
    around, query = record.around, record.query
    console.print(f"[bold]{around.request_id}[/] {around.surface}, {_time(at)}", soft_wrap=True)
    events = len(record.person.get("recent_items", ()))
    who = f"{around.user_id}, with {events} recent events" if around.user_id else "nobody"
    console.print(f"[bold]person   [/] {who}", soft_wrap=True)
    asked = ", ".join(f"{name}={value}" for name, value in query.items() if value not in (None, "", {}, 0))
    console.print(f"[bold]request  [/] {asked}", soft_wrap=True)
    console.print(
        f"[bold]versions [/] bundle {around.model_version} ({around.variant}), "
        f"rules {record.rules[:12] or 'none'}", soft_wrap=True,
    )  # fmt: skip
    for title, answer in made.lists:
        if title:
            console.print()
            console.print(f"[bold]{title}[/]", soft_wrap=True)
        show_list(answer)
    console.print()
    console.print(
        f"[red]not the same as then: {made.differs}[/]" if made.differs else "the same as then, byte for byte"
    )


def show_list(answer: Answer) -> None:
    """Prints every stage of one list, and its items."""
    console.print()
    table = Table("step", "stage", "in", "out", "removed", "moved", "what failed", **NARROW)
    for each in answer.trace:
        failed = "; ".join(filter(None, (each.failed, each.fell_back and f"instead: {each.fell_back}")))
        numbers = (each.candidates_in, each.candidates_out, each.removed, each.moved)
        table.add_row(each.step, each.stage, *(str(number or "") for number in numbers), failed)
    console.print(table)
    console.print()
    table = Table("", "item", "score", "title", "found by", "scores", "features", "reason", **NARROW)
    for rank, (item_id, score, reason) in enumerate(zip(answer.item_ids, answer.scores, answer.reasons, strict=True)):
        detail, item = answer.detail(rank), answer.query.columns.items[int(answer.candidates.rows[rank])]
        largest = sorted(detail.features.items(), key=lambda each: -abs(each[1]))[:FEATURES]
        table.add_row(
            str(rank), item_id, f"{score:.4g}", item.title if item else "", ", ".join(detail.sources),
            _numbers(detail.scores.items()), _numbers(largest), reason.text if reason else "",
        )  # fmt: skip
    console.print(table)


def _numbers(named: Any) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in named)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
