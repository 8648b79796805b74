"""A past answer computed again from its record, the bundle and the rules of then.

The answer goes through the same stages, over a slice of the columns, and the same code as the server's makes its body.
What was measured (milliseconds, counts over the whole catalogue), the cursor and the request's id are the record's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from feature_repo import item_slice, views
from feature_repo.candidates import Pairs
from feature_repo.columns import ItemColumns
from feature_repo.repository import Repository
from recommend import recorded
from recommend.candidate_set import Listed
from recommend.filtering import FilterError, ItemFilters
from recommend.model import Model
from recommend.page_rows import AGAIN
from recommend.pictures import with_pictures
from recommend.pipeline import Answer, Pipeline
from recommend.query import Query
from recommend.recorded import GivenTrace, HeldPopular
from recommend.rules.rule_set import NO_RULES, RuleSet, compile_all
from recommend.surface import Surface
from recommend.surfaces import home
from recommend.surfaces.trending import by
from schemas import bundle, rules
from schemas.errors import BundleError, FreshetError, InvalidEvent
from serving import answer_record, page_record
from serving.again import again_body
from serving.answer_record import FORMAT, OF_ROWS, PLAIN, AnswerRecord, RecordedPage
from serving.bodies import body
from serving.page_answers import page_body, page_with_pictures
from serving.page_record import UnknownRow

ModelOf = Callable[[str, ItemColumns], Model]
"""(version, columns) → the model over the columns; raises MissingPart"""


class MissingPart(FreshetError):
    """An answer cannot be computed again: `part` is what is missing."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(f"{part}: {detail}")
        self.part = part


@dataclass(frozen=True)
class ReplayedAnswer:
    """The answer, its body, and whether that is the same as then, byte for byte."""

    record: AnswerRecord
    lists: Sequence[tuple[str, Answer]]
    """title and items of each row of a page; one list without a title for any other answer"""
    body: bytes
    differs: str
    """"" where it is the same; else what is different, as far as that is known"""

    @property
    def answer(self) -> Answer:
        """The first list."""
        return self.lists[0][1]


def read(data: bytes) -> AnswerRecord:
    """The record. Raises MissingPart where this version cannot read it."""
    try:
        found = answer_record.decode(data)
    except ValueError as error:
        raise MissingPart("record", f"it cannot be read by this version ({error})") from None
    if found.format != FORMAT:
        raise MissingPart("record", f"it has format {found.format}, and this version reads {FORMAT}")
    return found


def models_of(bundles: Path, declared: Repository) -> ModelOf:
    """Loads bundles of a folder by their version."""

    def model_of(version: str, columns: ItemColumns) -> Model:
        named = [name for name, manifest in bundle.manifests(bundles) if manifest.version == version]
        if not named:
            raise MissingPart("bundle", f"{version} is not in {bundles} any more")
        try:
            found = bundle.load(bundles / named[0])
            return Model.of(found, columns, lambda ids: [columns.row(each) for each in ids], declared.crosses)
        except (BundleError, OSError) as error:
            raise MissingPart("bundle", str(error)) from None

    return model_of


def replay(
    found: AnswerRecord,
    text_of_rules: bytes | None,
    model_of: ModelOf,
    surfaces: Mapping[str, Surface],
    declared: Repository,
) -> ReplayedAnswer:
    """The answer again. `text_of_rules` are those of the record's digest, None where they are gone. Raises
    MissingPart."""
    surface = _surface(found, surfaces)
    try:
        columns = item_slice.restore(found.slice, declared.reads)
    except ValueError as error:
        raise MissingPart("declarations", str(error)) from None
    version = found.around.model_version
    model = None if version is None else model_of(version, columns)
    if model is not None:
        for parts_name, vectors in found.vectors.items():
            if (space := model.parts(parts_name).space) is not None:
                for row, vector in vectors.items():
                    space.set(row, vector)
    filters = ItemFilters(columns)
    in_force = _rules(found, text_of_rules, columns, filters)
    lists = HeldPopular(columns, found.shares)
    pipeline = Pipeline(columns, model, lists, filters, lambda: in_force)
    query = _query(found, pipeline)
    if found.page is not None:
        return _page(found, found.page, pipeline, query)
    answer, differs = recorded.recommend(pipeline, surface, query, GivenTrace(found.outcomes, found.failures))
    rest = answer_record.rest_of(columns, answer.rest.rows, answer.rest.sources)
    answer, made = _body(found, answer)
    if not differs and rest != found.rest:
        differs = "the items that stay for later pages"
    return ReplayedAnswer(found, [("", answer)], made, differs or _differs(found, made))


def _body(found: AnswerRecord, answer: Answer) -> tuple[Answer, bytes]:
    """The answer, with the pictures where it is one with pictures, and its body."""
    if found.around.kind == "again":
        return answer, msgspec.json.encode(again_body(found.around, answer))
    chosen = None
    if found.around.kind == "feed":
        answer, chosen = with_pictures(answer, answer.query.seed, *found.undrawn)
    trace = recorded.measured(answer.trace, found.trace) if answer.query.explains_all else None
    return answer, msgspec.json.encode(body(found.around, answer, trace, chosen))


def _page(found: AnswerRecord, record: RecordedPage, pipeline: Pipeline, query: Query) -> ReplayedAnswer:
    try:
        page, differs = page_record.again(pipeline, query, record)
    except UnknownRow as error:
        raise MissingPart("surface", str(error)) from None
    except FilterError as error:
        raise MissingPart("filter", f"that of a row cannot be read by this version ({error})") from None
    if found.undrawn and len(found.undrawn) != len(page.rows):
        differs = differs or "the number of rows"
    failed = None if differs else found.undrawn
    page, chosen = page_with_pictures(page, found.around.request_id, record.logged, failed)
    traces = None
    if query.explains_all and len(record.traces) == len(page.rows):
        traces = [recorded.measured(row.answer.trace, then) for row, then in zip(page.rows, record.traces, strict=True)]
    made = msgspec.json.encode(page_body(found.around, query, page, chosen, record.size, traces))
    rows = [(row.plan.title.text, row.answer) for row in page.rows]
    return ReplayedAnswer(found, rows, made, differs or _differs(found, made))


def _differs(found: AnswerRecord, made: bytes) -> str:
    return "" if hashlib.sha256(made).hexdigest() == found.sha256 else "the body of the answer"


def _surface(found: AnswerRecord, surfaces: Mapping[str, Surface]) -> Surface:
    if found.around.kind == "again":
        return AGAIN
    if found.around.kind == "page":
        return home  # each row has a surface of its own
    surface = surfaces.get(found.around.surface)
    if surface is not None and found.around.velocity:
        return by(surface)["velocity"]
    if surface is None:
        raise MissingPart("surface", f"{found.around.surface} is not declared any more")
    return surface


def _rules(found: AnswerRecord, text: bytes | None, columns: ItemColumns, filters: ItemFilters) -> RuleSet:
    if not found.rules:
        return NO_RULES
    if text is None or hashlib.sha256(text).hexdigest() != found.rules:
        raise MissingPart("rules", f"the rules {found.rules[:12]} are gone")
    try:
        named = {name: rules.loads(bytes(each)) for name, each in msgspec.json.decode(text, type=_Texts).items()}
    except (msgspec.MsgspecError, InvalidEvent) as error:
        raise MissingPart("rules", f"this version cannot read them ({error})") from None
    made = compile_all(named, columns, filters)
    if made.faults:
        raise MissingPart("rules", "; ".join(f"{name}: {why}" for name, why in made.faults.items()))
    return made


_Texts = dict[str, msgspec.Raw]


def _query(found: AnswerRecord, pipeline: Pipeline) -> Query:
    about: dict[str, Any] = {name: found.query[name] for name in PLAIN}
    about |= {name: np.asarray(found.rows[name], np.int64) for name in OF_ROWS}
    text = found.query["filter"]
    try:
        about["filter"] = None if text is None else pipeline.filters.compile(text)
    except FilterError as error:
        raise MissingPart("filter", f"this version cannot read it ({error})") from None
    listed = found.listed
    about["listed"] = None if listed is None else Listed(listed.rows, listed.sources, listed.relaxed)
    pairs: Pairs = recorded.held_pairs(found.pairs)
    fields = (*views.user.fields, *views.user_controls.fields, *views.user_shown.fields)
    user = {f.name: f.default for f in fields} | found.person
    others = {whose: each.favourites() for whose, each in found.others.items()}
    made = pipeline.query(user=user, item=found.item, pairs=pairs, others=others, **about)
    made.__dict__ |= {"seen": found.seen, "resting": found.resting}
    if found.n_allowed is not None:
        made.__dict__["n_allowed"] = found.n_allowed
    return made
