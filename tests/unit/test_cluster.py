"""The members of a cluster, read from what one of its nodes has of them."""

from __future__ import annotations

import json

import pytest

from phoenix.pve.cluster import ClusterError, Member, cluster_from_json

KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDZ"
ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3m"


def members(node="pve1", **others):
    """The text of .members, as status.c writes it."""
    listed = {"pve1": {"id": 1, "online": 1, "ip": "192.0.2.11"}, **others}
    cluster = {"name": "home", "version": 2, "nodes": len(listed), "quorate": 1}
    return json.dumps(
        {"nodename": node, "version": 5, "cluster": cluster, "nodelist": listed}, indent=1
    )


def cluster(text, **known):
    return cluster_from_json({"members": text, "known": known})


PVE2 = {"id": 2, "online": 1, "ip": "192.0.2.12"}


def test_each_member_has_its_address_and_the_key_that_the_cluster_keeps():
    found = cluster(members(pve2=PVE2), pve2=f"pve2 {KEY}")
    assert found.node == "pve1"
    assert found.members == (
        Member("pve1", True, "192.0.2.11"),
        Member("pve2", True, "192.0.2.12", (KEY,)),
    )
    assert found.within_reach == found.members
    assert found.members[1].known_hosts() == f"pve2,192.0.2.12 {KEY}\n"


def test_the_keys_of_older_clusters_are_in_one_file():
    older = f"# by name and address\npve2 {KEY}\n192.0.2.12 {KEY} root@pve2\n192.0.2.12 {ED}\n"
    other = f"|1|c2FsdA==|aGFzaA== {KEY}\npve3 {ED}\n\n"
    found = cluster(members(pve2=PVE2), **{"": older + other})
    assert found.members[1].keys == (KEY, ED)


def test_a_node_alone_is_its_own_only_member():
    # status.c, cfs_create_memberlist_msg: no cluster, no list
    found = cluster('{\n"nodename": "pve",\n"version": 0\n}\n')
    assert found.members == (Member("pve", True),)
    assert found.within_reach == found.members
    assert found.offline == ()


def test_who_is_offline_or_nowhere_cannot_be_asked():
    gone = {"id": 3, "online": 0, "ip": "192.0.2.13"}
    nowhere = {"id": 4, "online": 1}
    found = cluster(members(pve2=PVE2, pve3=gone, pve4=nowhere))
    assert [one.name for one in found.within_reach] == ["pve1", "pve2"]
    assert found.offline == ("pve3", "pve4")


def test_the_node_that_answers_needs_no_address():
    text = members(pve1={"id": 1, "online": 1}, pve2=PVE2)
    assert cluster(text).offline == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"nodename": "pve1", "nodelist": []}',
        '{"nodename": "pve 1"}',
        members(pve2={"id": 2, "online": 1, "ip": "pve2; reboot"}),
        members(pve2={"id": 2, "ip": "192.0.2.12"}),
        members(**{"-oProxyCommand=reboot": PVE2}),
        members(node="pve9"),
        "[" * 100_000,
    ],
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(ClusterError, match=r"not understood|does not list"):
        cluster(text)


def test_a_node_without_the_file_is_asked_whether_its_cluster_file_system_runs():
    with pytest.raises(ClusterError, match="is pve-cluster running"):
        cluster(None)


@pytest.mark.parametrize(
    "line",
    [
        "pve2 ssh-rsa not/base64!",
        "pve2 ssh-rsa",
        f"@revoked pve2 {KEY}",
        f"pve22 {KEY}",
        f"* {KEY}",
    ],
)
def test_a_line_that_is_no_key_of_the_host_is_none(line):
    assert cluster(members(pve2=PVE2), pve2=line).members[1].keys == ()
