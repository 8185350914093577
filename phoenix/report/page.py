"""The audit as an HTML page to send to a colleague, made from the data of `audit.json` alone.

What is grouped, cut and drawn is decided here; the template (`templates/report/audit.html.j2`) says
how it looks. The page asks for nothing from anywhere: it has no script, and its policy allows none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import DictLoader, StrictUndefined
from markupsafe import Markup

from phoenix.report.chart import STEP, bars, series
from phoenix.report.terminal import attention
from phoenix.text.printable import printable
from phoenix.text.sandbox import Compiled, Sandbox

_COMPILED = Compiled()

#: So many rows of a table are open, the others can be unfolded.
OPEN = 25
#: So many of a step's messages are open, and so many of a thing's containers are named.
LINES, NAMED = 5, 12
#: So many Docker containers of one guest are named, and of all guests together: a guest may have a
#: thousand, and a thousand guests would make a page that nobody can load.
WORKLOADS, ALL_WORKLOADS = 40, 20_000

#: The heights of a node's chart and of a kind's, in units of the pictures.
_CHART, _SPARK = 80, 24
_MOST_BUCKETS = 100

_PRODUCTS = {"proxmox": "Proxmox VE", "kernel": "Kernel", "apparmor": "AppArmor", "lxc": "LXC"}
#: What has a table of its own on the page.
_WORKED_AROUND = ("workaround.", "override.")


def audit_page(data: Mapping[str, Any], template: str) -> str:
    """The page; names and labels come from containers, so everything is escaped."""
    environment = Sandbox(
        loader=DictLoader({"audit.html": template}),
        bytecode_cache=_COMPILED,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    return environment.get_template("audit.html").render({**data, **_view(data)})


def _view(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows beside the data themselves."""
    nodes = data.get("nodes", ())
    containers = [one for node in nodes for one in node["containers"]]
    links = {
        (node["name"], one["ctid"]): f"ct-{node['name']}-{one['ctid']}"
        for node in nodes
        for one in node["containers"]
    }
    steps = [_step(one, links) for one in data.get("next", ())]
    beside = [one for one in steps if one["severity"] == "note"]
    named = min(WORKLOADS, ALL_WORKLOADS // max(1, len(containers)))
    return {
        "summary": attention(data["need_attention"], data["nodes_need_attention"]),
        "links": links,
        "steps": [one for one in steps if one["severity"] != "note"],
        "notes": [one for one in beside if not one["code"].startswith(_WORKED_AROUND)],
        "confinement": Counter(one["confinement"] for one in containers),
        "denied": sum(
            one["count"] for node in nodes for one in node["denials"] if not one["would_have_been"]
        ),
        "pages": [_node(node, data["time"], links, named) for node in nodes],
    }


def _node(
    node: Mapping[str, Any], now: str, links: Mapping[tuple[str, int], str], named: int
) -> dict[str, Any]:
    """A node's sections: the rows of its tables, and its charts."""
    listed = sorted(node["containers"], key=lambda one: one["ok"])
    engines = [one for one in listed if one["engine"] and one["docker"] != "-"]
    buckets = _buckets(node, now)
    denied = [one for one in node["denials"] if not one["would_have_been"]]
    learned = [one for one in node["denials"] if one["would_have_been"]]
    kinds = {
        "Denied": denied,
        "Would have been denied": learned,
        "Logged on request": node["logged"],
    }
    return {
        **node,
        "attention": sum(not one["ok"] for one in listed),
        "rows": _folded(listed),
        "engines": _folded([_engine(one, named) for one in engines]),
        "workarounds": _folded(_workarounds(node, links)),
        "chart": _chart(denied, learned, buckets) if buckets else None,
        "chart_width": buckets * STEP,
        "kinds": {
            title: _folded([_kind(one, buckets) for one in _most_first(found)])
            for title, found in kinds.items()
            if found
        },
        "installed": _installed(node, engines),
    }


def _folded(rows: Sequence[Any], shown: int = OPEN) -> dict[str, Sequence[Any]]:
    """Rows of which the first are open."""
    return {"open": rows[:shown], "more": rows[shown:]}


def _step(step: Mapping[str, Any], links: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """A step with what is said, equal words once, of which containers; `fix`: that of them all."""
    said: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in step["about"]:
        whose = one["node"] if one["ctid"] is None else f"CT {one['ctid']} {one['name']}".rstrip()
        link = links.get((one["node"], one["ctid"]), "")
        said.setdefault((one["message"], one["fix"]), []).append((whose, link))
    fixes = {fix for _, fix in said}
    common = fixes.pop() if len(fixes) == 1 else ""
    lines = [
        {"message": message, "fix": "" if common else fix, "whose": _folded(whose, NAMED)}
        for (message, fix), whose in said.items()
    ]
    return {**step, "fix": common, "lines": _folded(lines, LINES)}


def _engine(container: Mapping[str, Any], named: int) -> dict[str, Any]:
    """A container with what Docker runs there, as far as it is named; what runs comes first."""
    workloads = sorted(
        container["engine"]["workloads"], key=lambda one: (one["state"] != "running", one["name"])
    )
    return {**container, "workloads": workloads[:named], "unnamed": len(workloads[named:])}


def _workarounds(
    node: Mapping[str, Any], links: Mapping[tuple[str, int], str]
) -> list[dict[str, Any]]:
    """Equal workarounds once, with the containers that have them."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in node["findings"]:
        if one["code"].startswith(_WORKED_AROUND):
            whose = node["name"] if one["ctid"] is None else f"CT {one['ctid']}"
            link = links.get((node["name"], one["ctid"]), "")
            found.setdefault((one["message"], one["fix"]), []).append((whose, link))
    return [
        {"message": message, "fix": fix, "whose": _folded(whose, NAMED)}
        for (message, fix), whose in found.items()
    ]


def _most_first(kinds: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(kinds, key=lambda one: -one["count"])


def _kind(kind: Mapping[str, Any], buckets: int) -> dict[str, Any]:
    """A kind of denial with its bars, "" where nobody knows when they were."""
    counts = series([kind["spread"]], buckets)
    return {**kind, "bars": bars(counts, _SPARK, max(counts)) if any(counts) else ""}


def _buckets(node: Mapping[str, Any], now: str) -> int:
    """How many bars a chart of its log has, the last of them with the present; 0: none."""
    if not node["spread_width"] or not (node["denials"] or node["logged"]):
        return 0
    passed = _seconds(now) - _seconds(node["spread_begins"])
    return max(1, min(_MOST_BUCKETS, int(passed // node["spread_width"]) + 1))


def _chart(
    denied: Sequence[Mapping[str, Any]], learned: Sequence[Mapping[str, Any]], buckets: int
) -> dict[str, Any] | None:
    """All denials of a node over time: what was denied, and upon it what would have been."""
    below = series((one["spread"] for one in denied), buckets)
    above = series((one["spread"] for one in learned), buckets)
    most = max(map(sum, zip(below, above, strict=True)))
    if not most:
        return None
    return {
        "height": _CHART,
        "most": most,
        "denied": bars(below, _CHART, most),
        "learned": bars(above, _CHART, most, below),
    }


def _installed(
    node: Mapping[str, Any], engines: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What is installed in which version: on the node, and in how many of its containers."""
    found = [
        {"product": product, "version": node["versions"][name], "where": [node["name"]]}
        for name, product in _PRODUCTS.items()
        if node["versions"][name]
    ]
    inside: dict[tuple[str, str], list[str]] = {}
    for one in sorted(engines, key=lambda one: int(one["ctid"])):
        for name, product in (("version", "Docker"), ("runc", "runc"), ("os", "Guest system")):
            if version := one["engine"][name]:
                inside.setdefault((product, version), []).append(f"CT {one['ctid']}")
    ordered = sorted(inside.items(), key=lambda one: (one[0][0], -len(one[1])))
    found += [
        {"product": product, "version": version, "where": where}
        for (product, version), where in ordered
    ]
    return [{**one, "where": _folded(one["where"], NAMED)} for one in found]


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _plain(value: object) -> object:
    """What the page is given, without a control character; what a macro put out has none."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, None)
    return value
