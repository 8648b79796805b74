"""`freshet rules`: list, show, put, delete and try the rules of merchandisers, on a running server."""

from __future__ import annotations

import getpass
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from freshet.errors import InputError, RulesError
from freshet.local.client import body_of, connected
from freshet.settings import Settings
from schemas import rules
from schemas.errors import InvalidEvent
from schemas.rules import NAME_OF_RULE

app = App(name="rules", help="Rules of merchandisers, in force on every server within a second: docs/rules.md.")
console = Console(highlight=False)
By = Annotated[str | None, Parameter(help="Who makes the change; your login name where not given.")]
MOST_TRIED = 100
"""requests that a server replays at once"""
SHOWN = 20
"""changed answers that are printed"""


@app.command(name="list")
def show_all() -> int:
    """List all rules, with the state, the version and who changed each last."""
    with connected() as http:
        found = body_of(http.get("/v1/rules"))["rules"]
    table = Table("rule", "kind", "state", "priority", "version", "by", box=None, pad_edge=False, header_style="bold")
    for each in found:
        rule, state = each["rule"], each["state"] + (f": {each['problem']}" if "problem" in each else "")
        table.add_row(each["name"], rule["kind"], state, str(rule.get("priority", 0)), str(each["version"]), each["by"])
    console.print(table)
    return 0


@app.command
def show(name: str) -> int:
    """Print a rule with the changes before, the latest first, as JSON."""
    _check(name)
    with connected() as http:
        print(json.dumps(body_of(http.get(f"/v1/rules/{name}")), indent=1, ensure_ascii=False))
    return 0


@app.command
def put(file: Path, *, by: By = None) -> int:
    """Add or replace the rules in a file: a JSON object of rules by name. Stops at the first that is refused.

    Parameters
    ----------
    file
        The file; rules that are not in it stay as they are.
    """
    found = _rules(file)
    for name in found:
        _check(name)
    with connected() as http:
        for name, rule in found.items():
            if rule is None:
                raise InputError(f"{file}: {name}: null leaves a rule out in `rules try` alone; use `rules delete`")
            before = http.get(f"/v1/rules/{name}")
            tag = {"If-Match": before.headers["ETag"]} if before.status_code == 200 else {}
            answer = http.put(f"/v1/rules/{name}", params={"by": by or getpass.getuser()}, json=rule, headers=tag)
            console.print(f"{name}: version {body_of(answer, name)['version']}")
    return 0


@app.command
def delete(name: str, *, by: By = None) -> int:
    """Delete a rule. Its history stays."""
    _check(name)
    with connected() as http:
        before = http.get(f"/v1/rules/{name}")
        body_of(before)
        tag = {"If-Match": before.headers["ETag"]}
        answer = http.delete(f"/v1/rules/{name}", params={"by": by or getpass.getuser()}, headers=tag)
        if answer.status_code != 204:
            body_of(answer)
    console.print(f"{name} is deleted")
    return 0


@app.command(name="try")
def try_file(
    file: Path,
    *,
    user: list[str] | None = None,
    requests: int = MOST_TRIED,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show whose answers the rules in a file would change, and how. Nothing is changed.

    Recent requests, which the archive has as impressions, are replayed on the server: under the rules as they are, and
    with those of the file in place of rules of the same name. A null in the file leaves that rule out. Requests are
    answered from what people's features are now.

    Parameters
    ----------
    file
        A JSON object of rules by name.
    user
        Replay the home feeds of these people instead.
    requests
        How many of the latest requests, at most 100.
    as_json
        Print the answers as JSON instead.
    """
    tried = _rules(file)
    chosen = [{"user_id": each} for each in user or []] or _recent(Settings(), min(requests, MOST_TRIED))
    if not chosen:
        raise RulesError("the archive has no impressions yet; name people with --user")
    with connected() as http:
        found = body_of(http.post("/v1/rules/try", json={"rules": tried, "requests": chosen[:MOST_TRIED]}))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    _show_trial(found)
    return 0


def _check(name: str) -> None:
    """Raises InputError where a name is none of a rule: in a URL it could be that of another one."""
    if not re.match(NAME_OF_RULE, name):
        raise InputError(f"{name!r} is no name of a rule: lower-case letters, digits, '.', '_' and '-', 64 at most")


def _show_trial(found: dict[str, Any]) -> None:
    changed = [each for each in found["answers"] if each["before"] != each["after"]]
    done: defaultdict[str, int] = defaultdict(int)
    for each in found["answers"]:
        for effect in each["effects"]:
            done[f"{effect['rule']}: {effect.get('failed') or effect['effect']}"] += 1
    console.print(f"{found['changed']} of {len(found['answers'])} answers change")
    for name, n in sorted(done.items()):
        console.print(f"  {name} in {n} of them")
    table = Table("person", "surface", "new", "gone", "moved", box=None, pad_edge=False, header_style="bold")
    for each in changed[:SHOWN]:
        before, after = each["before"], each["after"]
        new = [f"{item} at {after.index(item)}" for item in after if item not in before]
        gone = [item for item in before if item not in after]
        moved = sum(item in after and after.index(item) != before.index(item) for item in before)
        table.add_row(each["user_id"], each["surface"], ", ".join(new), ", ".join(gone), str(moved))
    if changed:
        console.print(table)


def _recent(settings: Settings, n: int) -> list[dict[str, Any]]:
    """The latest requests of personal surfaces of which the archive has an impression, one each."""
    from freshet.features import refill
    from recommend.discovery import personal
    from recommend.surfaces import declared
    from schemas.topics import IMPRESSIONS
    from training import archive

    surfaces = personal(declared())
    of_day: defaultdict[str, set[Path]] = defaultdict(set)
    for path in refill.events(settings):
        if path.parent.parent.name == f"topic={IMPRESSIONS}":
            of_day[path.parent.name].add(path)
    found: dict[tuple[Any, ...], None] = {}
    for day in sorted(of_day, reverse=True):
        for record in reversed(list(archive.read(of_day[day]))):
            shown = record.event
            if shown.surface in surfaces:
                found[shown.user_id, shown.surface, shown.region, shown.device] = None
            if len(found) >= n:
                break
        if len(found) >= n:
            break
    return [dict(zip(("user_id", "surface", "region", "device"), each, strict=True)) for each in found]


def _rules(file: Path) -> dict[str, Any]:
    """The rules in a file, checked as far as that is possible without a server. Raises InputError."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {error}") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f'{file}: it is to be a JSON object of rules by name: {{"summer": {{"kind": …}}}}')
    for name, rule in found.items():
        try:
            if rule is not None:
                rules.parse(rule)
        except InvalidEvent as error:
            raise InputError(f"{file}: {name}: {error}") from None
    return found
