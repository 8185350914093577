"""Containers that a run leaves alone, and what waits for their next start."""

import pytest
from plan_cases import (
    CONF,
    DOCKER,
    ENFORCED,
    container,
    hardened,
    installed,
    node,
    plan,
)

from phoenix.plan.findings import Code, Severity
from phoenix.plan.options import Options
from phoenix.pve.observed import Live


@pytest.mark.parametrize(
    ("observed", "note"),
    [
        (container(conf="template: 1\n" + CONF, label=None), "left alone: a template"),
        (container(conf="lock: backup\n" + CONF), "left alone: locked (backup)"),
        (container(ha="started"), "left alone: managed by HA (started)"),
        (
            container(ha="frozen"),
            "left alone: managed by HA (frozen), its restart belongs to the cluster",
        ),
        (container(ha="disarming"), "left alone: managed by HA (disarming)"),
        (
            container(conf=CONF + "\n[pve:pending]\nmemory: 4096\n"),
            "left alone: a restart would apply these pending changes",
        ),
        (
            container(conf=CONF + "\n[pve:pending]\nlxc.environment.runtime: SECRET=hunter2\n"),
            "left alone: a restart would apply these pending changes",
        ),
        (
            container(conf=CONF + "\n[pve:pending]\ndelete: env\n"),
            "left alone: a restart would apply these pending changes",
        ),
    ],
    ids=[
        *("template", "locked", "ha", "ha-frozen", "ha-disarming"),
        *("pending", "pending-env", "pending-delete-env"),
    ],
)
def test_a_container_that_is_not_ours_to_restart_is_left_alone_with_a_note(observed, note):
    result = plan(node(observed))
    assert not result.containers
    assert not result.problems
    assert note in result.notes[-1]
    # who names it wants to hear that nothing was done for it
    assert note in plan(node(observed), options=Options(only=(910,))).problems[-1]


HELD = {
    "locked": {"conf": "lock: backup\n{}"},
    "ha": {"ha": "started"},
}


def held(how, conf=CONF, **values):
    changes = {**HELD[how]}
    return node(container(conf=changes.pop("conf", "{}").format(conf), **changes, **values))


@pytest.mark.parametrize("how", HELD)
@pytest.mark.parametrize("label", ["unconfined", None], ids=["running", "stopped"])
def test_what_is_left_alone_and_not_as_wanted_needs_attention_and_is_told_with_what_is_due(
    how, label
):
    result = plan(held(how, label=label), installed())
    (found,) = [one for one in result.findings if one.code.startswith("left.")]
    assert found.severity == Severity.WARNING
    assert "still to do: features: keyctl=1; profile: unconfined becomes lxc-d" in found.message
    assert result.alone == {910: found.text}
    assert result.containers == ()
    # the others go on
    assert not result.problems


@pytest.mark.parametrize("how", HELD)
@pytest.mark.parametrize("label", [ENFORCED, None], ids=["running", "stopped"])
def test_what_is_left_alone_and_right_is_a_note(how, label):
    result = plan(held(how, hardened(), label=label), installed())
    (found,) = [one for one in result.findings if one.code.startswith("left.")]
    assert found.severity == Severity.NOTE
    assert "still to do" not in found.message
    assert result.alone == {}


@pytest.mark.parametrize("how", HELD)
@pytest.mark.parametrize("label", [ENFORCED, None], ids=["running", "stopped"])
def test_who_names_one_that_is_left_alone_and_right_has_nothing_to_do(how, label):
    result = plan(held(how, hardened(), label=label), installed(), options=Options(only=(910,)))
    (found,) = [one for one in result.findings if one.code.startswith("left.")]
    assert (found.severity, result.problems, result.empty) == (Severity.NOTE, (), True)


@pytest.mark.parametrize(("conf", "refused"), [(CONF, True), (hardened(), False)])
def test_who_names_a_template_is_refused_where_its_clones_would_not_be_right(conf, refused):
    observed = container(conf=f"template: 1\n{conf}", label=None)
    result = plan(node(observed), installed(), options=Options(only=(910,)))
    assert bool(result.problems) == refused


@pytest.mark.parametrize("only", [(), (910,)], ids=["all", "only"])
@pytest.mark.parametrize("how", HELD)
def test_why_one_is_left_alone_is_said_once(how, only):
    collides = CONF.replace("features:", "dev0: /dev/fuse\nfeatures: fuse=1,")
    for conf in (CONF, f"{CONF}\n[pve:pending]\nmemory: 4096\n", collides):
        found = plan(held(how, conf), installed(), options=Options(only=only)).findings
        texts = [str(one) for one in found]
        assert not [text for text in texts if text.count("left alone") > 1]
        assert len([text for text in texts if "make the same node" in text]) <= 1
    # the last one
    assert {one.code for one in found if one.needs_attention} == {Code.COLLISION}


@pytest.mark.parametrize("how", HELD)
def test_what_waits_beside_one_that_is_left_alone_is_a_note_and_hides_not_what_is_due(how):
    conf = f"{CONF}\n[pve:pending]\nmemory: 4096\n"
    result = plan(held(how, conf), installed())
    assert "still to do: features: keyctl=1; profile: unconfined becomes" in result.alone[910]
    assert "CT 910 portainer: memory waits in [pve:pending] for the next start" in result.notes


@pytest.mark.parametrize("how", HELD)
def test_raw_lines_in_pending_count_for_one_that_is_left_alone_for_another_reason(how):
    conf = f"{hardened()}\n[pve:pending]\nlxc.apparmor.profile: unconfined\n"
    result = plan(held(how, conf, label=None), installed())
    (found,) = [one for one in result.findings if one.needs_attention]
    assert found.code == Code.PENDING_LINES
    assert found.message.startswith("left alone: lxc.apparmor.profile in [pve:pending]")


def test_a_restart_that_is_due_of_one_that_is_left_alone_is_told_too():
    result = plan(held("ha", hardened()), installed())
    assert "still to do: restart due: PID 1 runs as unconfined" in result.alone[910]


def test_what_is_wrong_with_the_conf_of_one_that_is_left_alone_stops_nobody_else():
    odd = CONF.replace("nesting=1", "nesting=1,nesting=0")
    result = plan(held("locked", odd), installed())
    assert not result.problems
    assert "still to do: features:" in result.alone[910]
    assert "duplicate 'nesting'" in result.alone[910]


def test_a_word_of_the_operator_that_is_missing_is_nothing_to_do_for_one_that_is_left_alone():
    hook = "lxc.hook.pre-start: /root/hook"
    entry = {**DOCKER, "lxc_options": [hook]}
    conf = hardened().replace("\n\n[before]", f"\n{hook}\n\n[before]")
    result = plan(held("locked", conf, label=ENFORCED), installed(), ct910=entry)
    assert (result.alone, result.problems) == ({}, ())


def test_a_template_is_never_more_than_a_note():
    result = plan(node(container(conf=f"template: 1\n{CONF}", label=None)), installed())
    (found,) = [one for one in result.findings if one.code.startswith("left.")]
    assert (found.message, found.severity) == ("left alone: a template", Severity.NOTE)


def test_pending_changes_that_a_restart_would_apply_leave_the_container_as_it_should_not_be():
    result = plan(node(container(conf=CONF + "\n[pve:pending]\nmemory: 4096\n")))
    assert "a restart would apply these pending changes" in result.alone[910]


def test_what_waits_in_pending_is_shown_even_where_nothing_changes():
    conf = hardened() + "\n[pve:pending]\nmemory: 4096\n"
    pct = node(container(conf=conf, label="lxc-docker-nested (enforce)"))
    result = plan(pct, installed())
    assert result.empty
    assert result.notes == ("CT 910 portainer: memory waits in [pve:pending] for the next start",)


def test_of_variables_that_wait_the_names_are_shown_and_no_value():
    pending = "\n[pve:pending]\nlxc.environment.runtime: SECRET=hunter2\n"
    for conf, label in ((CONF, "unconfined"), (hardened(), "lxc-docker-nested (enforce)")):
        notes = plan(node(container(conf=conf + pending, label=label)), installed()).notes
        assert "CT 910 portainer: env (SECRET) waits in [pve:pending] for the next start" in notes
        assert "hunter2" not in "".join(notes)


@pytest.mark.parametrize("label", ["unconfined", None], ids=["running", "stopped"])
@pytest.mark.parametrize("force", [(), True], ids=["", "force"])
def test_raw_lines_in_pending_would_replace_ours_and_nothing_is_done_beside_them(label, force):
    pending = "\n[pve:pending]\nlxc.apparmor.profile: unconfined\n"
    for conf in (CONF + pending, hardened() + pending):
        options = Options(force=force)
        result = plan(node(container(conf=conf, label=label)), installed(), options)
        assert result.empty
        (found,) = result.findings
        assert (found.code, found.severity) == (Code.PENDING_LINES, Severity.WARNING)
        assert "lxc.apparmor.profile in [pve:pending]: at its next start Proxmox puts" in str(found)
        assert found.fix == "move the lines above [pve:pending], or delete them"


@pytest.mark.parametrize("ha", [None, "ignored", "disarmed"])
def test_who_the_ha_stack_leaves_alone_is_restarted(ha):
    assert plan(node(container(ha=ha))).containers[0].restart


OCI = CONF.replace("features:", "entrypoint: /app --port 80\nfeatures:")


def test_a_container_that_is_one_program_is_planned_and_what_proves_it_is_said():
    live = Live(dev_fuse=False, keyctl=None, config=(("lxc.init.cmd", "/app --port 80"),))
    result = plan(node(container(conf=OCI, live=live)), ct910={"apparmor_profile": "generated"})
    (change,) = result.containers
    assert (change.restart, change.docker) == (True, False)
    assert "entrypoint: /app --port 80\n" in change.after.render()
    (note,) = result.notes
    assert note == (
        "CT 910 portainer: one program (/app), not a system: proven from the node, by its label, "
        "that it stays up, and its open ports"
    )


def test_what_waits_in_pending_is_applied_only_with_force():
    pct = node(container(conf=CONF + "\n[pve:pending]\nmemory: 4096\n"))
    assert plan(pct, options=Options(force=True)).containers[0].restart
