"""The audit as data and as a page."""

import json
from datetime import UTC, datetime
from pathlib import Path

from phoenix.apparmor.denials import Denial, ObservedDenials, read_line
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import NodePlan
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.options import Options
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.report.audit import NodeReport, audit_data, audit_json
from phoenix.report.denial_groups import group_denials
from phoenix.report.page import audit_page

TEMPLATE = (Path(__file__).parents[2] / "templates/report/audit.html.j2").read_text()
CONF = "hostname: <b>n8n</b>\nunprivileged: 1\nlxc.cgroup2.devices.allow: a\n"
LINES = (
    'apparmor="DENIED" operation="open" class="file" profile="lxc-a" name="/srv/<script>" '
    'comm="dd" requested_mask="r" fsuid=0',
    'apparmor="ALLOWED" operation="capable" profile="lxc-a" comm=1B5B capname="sys_module"',
)


def data(*lines, seen=None, plan=None):
    entry = {"apparmor_profile": "lxc-a", "lxc_options": ["lxc.cgroup2.devices.allow=a"]}
    fleet = parse_fleet(json.dumps({"lxc_configs": {"954": entry}}).encode())
    label = "lxc-a (enforce)"
    container = ObservedContainer(954, PveConf(CONF), True, 1, label, None, "pve1", 100)
    pct = ObservedPct("pve1", {954: container})
    plan = plan or NodePlan("pve1")
    found = audit_node(fleet=fleet, options=Options(), facts=NodeFacts(containers=pct), plan=plan)
    read = [read_line(line) for line in lines]
    denials = tuple(Denial(2, 1795307262.5, one.complain, one.fields) for one in read)
    seen = seen or ObservedDenials("audit.log", denials=denials)
    groups = group_denials(seen, pct.containers, Options())
    report = NodeReport(found, seen, groups)
    now = datetime(2026, 11, 22, 5, 20, tzinfo=UTC)
    return audit_data([report], "fleet.json", now)


def test_the_data_hold_all_that_the_table_and_the_lines_below_it_say():
    found = data(*LINES)
    assert json.loads(audit_json(found)) == found
    (node,) = found.pop("nodes")
    assert found == {
        "time": "2026-11-22T05:20:00Z",
        "fleet": "fleet.json",
        "containers": 1,
        "need_attention": 0,
        "nodes_need_attention": [],
        "next": [
            {
                "severity": "note",
                "code": "workaround.devices",
                "about": [
                    {
                        "node": "pve1",
                        "ctid": 954,
                        "name": "<b>n8n</b>",
                        "message": node["findings"][0]["message"],
                        "fix": node["findings"][0]["fix"],
                    }
                ],
            }
        ],
    }
    (container,) = node["containers"]
    assert (container["confinement"], container["engine"]) == ("enforce", None)
    assert (container["ctid"], container["verdict"], container["ok"]) == (954, "confined", True)
    assert node["ok"]
    assert node["findings"] == [
        {
            "code": "workaround.devices",
            "severity": "note",
            "scope": "container",
            "ctid": 954,
            "message": "workaround lxc.cgroup2.devices.allow: a lets it use whatever device node "
            "gets into it; not needed under lxc-a",
            "fix": "the fleet file asks for it; take it out of lxc_options there",
        }
    ]
    denied, allowed = sorted(node["denials"], key=lambda one: one["would_have_been"])
    assert denied == {
        "ctids": [954],
        "whose": "CT 954 <b>n8n</b>",
        "engine_container": "",
        "owner": None,
        "became": "denied",
        "would_have_been": False,
        "count": 2,
        "first": "2026-11-22T00:27:42Z",
        "last": "2026-11-22T00:27:42Z",
        "spread": [],
        "operation": "open",
        "subject": "r /srv/<script>",
        "what": "read /srv/<script>",
        "text": "read /srv/<script> by dd under lxc-a",
        "comm": "dd",
        "profile": "lxc-a",
        "rule": "",
        "next_step": "if its software needs that: a rule for it in profiles.d/954.rules, which "
        "phoenix learn proposes",
    }
    assert allowed["comm"] == "\\x1b["


def test_what_comes_from_a_container_is_text_in_the_page_and_no_markup():
    page = audit_page(data(*LINES), TEMPLATE)
    assert "&lt;b&gt;n8n&lt;/b&gt;" in page
    assert "/srv/&lt;script&gt;" in page
    assert "<script" not in page.partition("<body>")[2]
    assert "\x1b" not in page


def test_no_control_character_gets_into_the_page():
    bad = ("\x1b[2J", "\x9b", "\u202e", "\u2028", "\x00", "\udc9b")
    findings = tuple(
        Finding(Code.GUEST, severity, f"says {char}", ctid, fix=char)
        for char in bad
        for severity in Severity
        for ctid in (954, None)
    )
    page = audit_page(data(*LINES, plan=NodePlan("pve1", findings=findings)), TEMPLATE)
    assert all(char.isprintable() for char in page if char != "\n")
    assert "says \\u202e" in page


def test_the_page_tells_denied_and_would_have_been_apart():
    page = audit_page(data(*LINES), TEMPLATE)
    assert (
        page.index("<h4>Denied</h4>")
        < page.index("<code>dd</code>")
        < page.index("<h4>Would have been denied</h4>")
    )
    assert "<h4>Would have been" not in audit_page(data(LINES[0]), TEMPLATE)


def test_the_page_says_how_far_nothing_can_be_trusted():
    page = audit_page(data(seen=ObservedDenials("kernel log", begins=0.0, left=3)), TEMPLATE)
    assert "Nothing was denied." in page
    assert "which misses some: apt install auditd" in page
    assert "It begins only at 1970-01-01T00:00:00Z." in page
    assert "3 more lines of other kinds are left out." in page
    assert "Nothing was denied" not in audit_page(data(seen=ObservedDenials()), TEMPLATE)


def test_what_is_wrong_with_the_node_and_what_is_known_of_a_container_is_on_the_page():
    bad = Finding(Code.PROFILE_FOREIGN, Severity.ERROR, "not ours", fix="move it away")
    known = Finding(Code.FELL_OVER, Severity.NOTE, "fell over: web", 954, "n8n", "docker logs web")
    page = audit_page(data(plan=NodePlan("pve1", findings=(bad, known))), TEMPLATE)
    first, beside = page.index("not ours"), page.index("fell over: web")
    assert first < page.index("→ move it away") < beside < page.index("→ docker logs web")
    assert page.index("1 more to know; nothing is wrong by it alone") < beside


def test_what_stands_against_a_container_is_said_once_on_the_page():
    bad = Finding(Code.CONF_REFUSED, Severity.ERROR, "odd features", 954, "n8n")
    page = audit_page(data(plan=NodePlan("pve1", findings=(bad,))), TEMPLATE)
    assert ">CT 954 n8n</a></strong>: odd features" in page
    assert page.count("odd features") == 2  # there, and as its verdict
    assert "1 needs attention" in page


def test_a_node_that_needs_attention_heads_the_page():
    bad = Finding(Code.PROFILE_FOREIGN, Severity.ERROR, "not ours")
    page = audit_page(data(plan=NodePlan("pve1", findings=(bad,))), TEMPLATE)
    assert '<span class="bad">0 need attention; pve1 does</span>' in page
