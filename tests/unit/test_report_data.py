"""What the report has beside its verdicts: next steps, workloads, versions, denials over time."""

import json
import re
from dataclasses import replace

import page_cases

from phoenix.docker.observed import ObservedDocker
from phoenix.plan.audit import NodeAudit
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.report.chart import bars
from phoenix.report.next_steps import MENDED, next_steps
from phoenix.report.page import ALL_WORKLOADS, NAMED, OPEN


def steps(*findings):
    audits = [NodeAudit(node, (), tuple(findings)) for node in ("pve1", "pve2")]
    return [one.to_json() for one in next_steps(audits)]


def test_errors_come_first_and_things_of_a_kind_stand_together():
    found = steps(
        Finding(Code.FELL_OVER, Severity.NOTE, "fell over", 910, "web", "look"),
        Finding(Code.DRIFT, Severity.WARNING, "drift: features", 910, "web"),
        Finding(Code.UNCONFINED, Severity.WARNING, "unconfined", 911, "db", "adopt"),
        Finding(Code.DRIFT, Severity.WARNING, "drift: profile", 911, "db"),
        Finding(Code.CONF_REFUSED, Severity.ERROR, "odd conf", 912, "x"),
    )
    assert [(one["severity"], one["code"], len(one["about"])) for one in found] == [
        ("error", "conf.refused", 2),
        ("warning", "drift.container", 4),
        ("warning", "unconfined", 2),
        ("note", "fell-over", 2),
    ]
    assert found[1]["about"][0] == {
        "node": "pve1",
        "ctid": 910,
        "name": "web",
        "message": "drift: features",
        "fix": MENDED,
    }


def test_what_docker_runs_and_all_versions_are_told():
    (node,) = page_cases.data()["nodes"]
    assert node["versions"] == {
        "proxmox": "9.1.2",
        "kernel": "6.17.13-2-pve",
        "apparmor": "4.1.0-1",
        "lxc": "6.0.5-2",
    }
    found = {one["ctid"]: one for one in node["containers"]}
    assert {ctid: one["confinement"] for ctid, one in found.items()} == {
        **dict.fromkeys((910, 952, 953, 960), "enforce"),
        954: "unconfined",
        956: "complain",
        961: "stopped",
    }
    assert found[953]["engine"] is None
    engine = found[954]["engine"]
    assert (engine["version"], engine["runc"], engine["os"]) == ("28.5.2", "1.3.6", "debian 13")
    assert engine["workloads"][2] == {
        "name": "backup",
        "state": "exited",
        "image": "offen/docker-volume-backup:v2",
    }


def test_denials_are_told_over_time_and_with_their_owner():
    (node,) = page_cases.data()["nodes"]
    assert (node["spread_begins"], node["spread_width"]) == ("2026-11-25T18:00:00Z", 3600)
    (one,) = [one for one in node["denials"] if one["subject"] == "r /proc/kcore"]
    assert one["spread"] == [[31, 2]]
    assert one["first"] == one["last"] == "2026-11-27T01:00:00Z"
    assert one["owner"] == {"ctid": 952, "engine_id": "ab" * 32, "name": "qdrant"}


def test_a_flood_and_what_the_log_may_lack_are_told():
    data = page_cases.data(page_cases.large(containers=1, workloads=1))
    (node,) = json.loads(json.dumps(data))["nodes"]
    (flood,) = node["floods"]
    assert (flood["lines"], flood["first"]) == (10**6, "2026-11-25T18:00:00Z")
    assert node["log_missing"] == "all of it"
    page = page_cases.page(page_cases.large(containers=1, workloads=1))
    assert "1000000 lines of ever new kinds" in page
    assert "all of it." in page


def test_a_bar_stands_on_the_one_below_and_the_smallest_is_seen():
    assert bars([1], 80, 1000) == "M0 80v-1h6v1z"
    assert bars([5, 5], 80, 10, [5, 0]) == "M0 40v-40h6v40zM8 80v-40h6v40z"
    assert bars([0, 0], 80, 0) == ""


def test_a_thousand_guests_that_say_all_they_can_make_a_page_that_can_be_loaded():
    page = page_cases.page(page_cases.large(workloads=60))
    assert page.count("<div>w") <= ALL_WORKLOADS
    assert len(page) < 16 << 20
    # the first rows of a table are open, the others are folded
    shown = page[page.index("<h3>Containers") : page.index("<h3>Workloads")]
    assert shown.index(f"<summary>{1000 - OPEN} more") < shown.index(f'id="ct-pve1-{1000 + OPEN}"')
    assert shown.index(f'id="ct-pve1-{1000 + OPEN - 1}"') < shown.index("<details>")
    assert f" and {1000 - NAMED} more" in page


def test_a_log_without_buckets_has_no_chart():
    page = page_cases.page()
    assert len(re.findall("<svg", page)) == 1 + len(page_cases.DENIALS)
    data = page_cases.data()
    data["nodes"][0] |= {"spread_begins": None, "spread_width": 0}
    assert "<svg" not in page_cases.audit_page(data, page_cases.TEMPLATE)


def test_a_fleet_that_is_as_it_should_be_is_told_so():
    data = page_cases.data()
    data |= {"next": [], "need_attention": 0, "nodes": []}
    assert "Nothing needs attention." in page_cases.audit_page(data, page_cases.TEMPLATE)


def test_of_a_docker_that_does_not_answer_it_is_not_said_that_nothing_runs():
    one = page_cases.report()
    facts = replace(one.facts, dockers={**page_cases.DOCKERS, 910: ObservedDocker("hung")})
    rows = tuple(
        replace(row, docker="hung") if row.ctid == 910 else row for row in one.audit.containers
    )
    page = page_cases.page(replace(one, facts=facts, audit=replace(one.audit, containers=rows)))
    row = page[page.rindex(">910 portainer</th>") :].partition("</tr>")[0]
    assert "hung" in row
    assert "was not told" in row
    assert "running" not in row
