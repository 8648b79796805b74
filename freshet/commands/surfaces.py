"""`freshet surfaces`: list them, show one, and preview what its stages do for a person on a running server."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from freshet.errors import InputError
from freshet.local.client import body_of, connected

if TYPE_CHECKING:
    from recommend.stage import Stage
    from recommend.surface import Surface

app = App(name="surfaces", help="The kinds of answers that the server gives: see docs/surfaces.md.")
console = Console(highlight=False)
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON instead.")]
PLAIN = frozenset({"name", "budget_ms", "fallback"})
"""fields of a stage that are no parameters of what it does"""
AT_LAST = {
    "encode": "the user vector", "retrieve": "goes on without", "rank": "the order of retrieval",
    "rerank": "the order as it was", "explain": "no reasons",
}  # fmt: skip
"""what happens where a stage and its fallbacks fail, by step"""
WIDE = 140
"""columns of a terminal from which on a list has room for stages; `show` has them with any"""
NARROW = {"box": None, "pad_edge": False, "header_style": "bold"}


@app.command(name="list")
def show_all(*, as_json: Json = False) -> int:
    """List the surfaces, the built-in ones and those of FRESHET_SURFACES."""
    found: list[dict[str, Any]] = [
        {
            "name": each.name, "title": each.heading, "doc": each.doc, "call": call_of(each),
            "personal": each.personal, "stages": [stage.name for _, stage in each.stages],
        }
        for each in _surfaces().values()
    ]  # fmt: skip
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    with_stages = console.width >= WIDE
    table = Table("surface", "call", "personal", *(["stages"] if with_stages else []), **NARROW)  # type: ignore[arg-type]
    for column in table.columns[:3]:
        column.no_wrap = True
    for row in found:
        stages = [", ".join(row["stages"])] if with_stages else []
        table.add_row(row["name"], row["call"], "yes" if row["personal"] else "", *stages)
    console.print(table)
    return 0


@app.command
def show(name: str, *, as_json: Json = False) -> int:
    """Show a surface's objective, limits and stages, each with its parameters, its budget and its fallbacks.

    Parameters
    ----------
    name
        The surface, as `freshet surfaces list` names it.
    """
    found = described(_named(name))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    for title, value in found.items():
        if title != "stages":
            console.print(f"[bold]{title:<12}[/]{_text(value)}", soft_wrap=True)
    console.print()
    table = Table("step", "stage", "parameters", "budget", "where it fails", "what it does", **NARROW)  # type: ignore[arg-type]
    for each in found["stages"]:
        budget = f"{each['budget_ms']:g} ms"
        table.add_row(
            each["step"], each["stage"], _text(each["parameters"]), budget, each["where_it_fails"], each["doc"]
        )
    console.print(table)
    return 0


@app.command
def preview(
    name: str,
    *,
    user: str | None = None,
    item: list[str] | None = None,
    n: Annotated[int | None, Parameter(name=("--n", "-n"))] = None,
    region: str | None = None,
    as_json: Json = False,
) -> int:
    """Ask the running server, and print what every stage did, and the items. Nothing is logged as shown.

    The exit status is 1 where a stage failed, or the server refuses the request.

    Parameters
    ----------
    name
        The surface, as `freshet surfaces list` names it.
    user
        For whom; surfaces that are for a person need one.
    item
        The item that others are like or bought with; of a cart or a list, several.
    n
        How many items; left out, what the surface has.
    region
        The person's region.
    """
    surface = _named(name)
    method, path, query, body = _request(surface, user, item or [], n, region)
    with connected() as http:
        if method == "POST":
            found = body_of(http.post(path, params=query, json=body), name)
        else:
            found = body_of(http.get(path, params=query), name)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _show_answer(surface, found)
    return 1 if found["degraded"] else 0


def described(surface: Surface) -> dict[str, Any]:
    """The surface as a document."""
    paging = surface.paging
    return {
        "name": surface.name,
        "title": surface.heading,
        "doc": surface.doc,
        "call": call_of(surface),
        "personal": surface.personal,
        "objective": dict(surface.objective) if surface.objective else "that of the bundle or the ranker",
        "price_level": surface.price_level,
        "items": {"default": paging.default, "most": paging.most, "list": paging.depth},
        "ranked": surface.ranked,
        "parts": surface.parts_name,
        "fallback": surface.fallback.name if surface.fallback else "none: fewer items",
        "stages": [
            {
                "step": step,
                "stage": stage.name,
                "parameters": _parameters(stage),
                "budget_ms": stage.budget_ms,
                "where_it_fails": where_it_fails(step, stage),
                "doc": _doc(step, stage),
            }
            for step, stage in surface.stages
        ],
    }


def call_of(surface: Surface) -> str:
    """The request that it answers; of the feed, with the parameter that names it."""
    from recommend.surface import FEED

    return f"{surface.call}?surface={surface.name}" if surface.call == FEED else surface.call


def where_it_fails(step: str, stage: Stage) -> str:
    """What stands in for the stage where it fails."""
    if step == "filter":
        relaxed = ", given up where nothing passes" if getattr(stage, "relaxable", False) else ""
        return ("all stay" if getattr(stage, "fails_open", True) else "none stays") + relaxed
    names, fallback = [], getattr(stage, "fallback", None)
    while fallback is not None:
        names.append(fallback.name)
        fallback = fallback.fallback
    return " → ".join([*names, AT_LAST[step]])


def _doc(step: str, stage: Stage) -> str:
    """What the stage does; of a filter its module says it, since the class says how it fails."""
    text = sys.modules[type(stage).__module__].__doc__ if step == "filter" else type(stage).__doc__
    return " ".join((text or "").split("\n\n")[0].split())


def _parameters(stage: Stage) -> dict[str, Any]:
    skipped = PLAIN | {"fails_open", "relaxable"}
    return {f.name: _plain(getattr(stage, f.name)) for f in fields(stage) if f.name not in skipped}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, float, bool)) or value is None else repr(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(each)}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "+".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _request(
    surface: Surface, user: str | None, items: list[str], n: int | None, region: str | None
) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """(Method, path, query, body). Raises InputError where the surface needs what is not given."""
    from urllib.parse import quote

    from recommend.surface import FEED

    method, _, path = surface.call.partition(" ")
    query: dict[str, Any] = {"explain": "full"}
    if not surface.reports:  # of which nothing is ever logged
        query["dry_run"] = "true"
        query |= {} if n is None else {"n": n}
    query |= {} if region is None else {"region": region}
    if path.startswith("/v1/users/"):
        if user is None:
            raise InputError(f"{surface.name} is for a person: name one with --user")
        path = path.replace("{id}", quote(user, safe=""))
        query |= {"surface": surface.name} if surface.call == FEED else {}
    elif method == "POST":
        if not items:
            raise InputError(f"{surface.name} is about items: name them with --item, several times")
    else:
        if "{id}" in path and len(items) != 1:
            raise InputError(f"{surface.name} is about one item: name it with --item")
        path = path.replace("{id}", quote(items[0], safe="")) if items else path
        query |= {} if user is None else {"user_id": user}
    return method, path, query, {"items": items} | ({} if user is None else {"user_id": user})


def _show_answer(surface: Surface, found: Mapping[str, Any]) -> None:
    console.print(f"[bold]{surface.heading}[/] ({surface.name}), model {found['model_version']}: {surface.doc}")
    table = Table("step", "stage", "ms", "in", "out", "removed", "moved", "what failed", **NARROW)  # type: ignore[arg-type]
    for each in found["trace"]:
        failed = "; ".join(filter(None, (each.get("failed"), _instead(each.get("fell_back")))))
        table.add_row(
            each["step"], each["stage"], f"{each['ms']:.2f}" + (" !" if each.get("over_budget") else ""),
            *(str(each.get(key) or "") for key in ("candidates_in", "candidates_out", "removed", "moved")), failed,
        )  # fmt: skip
    console.print(table)
    timings = ", ".join(f"{name} {ms:.1f}" for name, ms in found["timings_ms"].items())
    console.print(f"ms by step: {timings}")
    if found["degraded"]:
        console.print(f"[red]stages failed in: {', '.join(found['degraded'])}[/]")
    if found["unknown_items"]:
        console.print(f"unknown items: {', '.join(found['unknown_items'])}")
    console.print()
    table = Table("", "item", "score", "title", "found by", "reason", **NARROW)  # type: ignore[arg-type]
    for each in found["items"]:
        reason = each.get("reason", {}).get("text", "") or ", ".join(each.get("removed_by", ()))
        sources = ", ".join(each.get("detail", {}).get("sources", ()))
        title = (each["item"] or {}).get("title") or ""
        table.add_row(str(each["rank"]), each["item_id"], f"{each['score']:.4g}", title, sources, reason)
    console.print(table)


def _instead(fell_back: str | None) -> str | None:
    return fell_back and f"instead: {fell_back}"


def _surfaces() -> dict[str, Surface]:
    from recommend.surfaces import declared

    return {surface.name: surface for surface in declared()}


def _named(name: str) -> Surface:
    known = _surfaces()
    if name not in known:
        raise InputError(f"no surface is called {name}; there are {', '.join(known)}")
    return known[name]
