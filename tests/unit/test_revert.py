"""A run's changes taken out of a conf that somebody has changed since."""

import pytest
from conf_strategies import confs
from hypothesis import given

from phoenix.plan.revert import revert
from phoenix.pve.conf import PveConf

BEFORE = PveConf("""\
cores: 2
features: nesting=1
lxc.apparmor.profile: unconfined
lxc.cap.drop:
""")
AFTER = PveConf("""\
cores: 2
dev0: /dev/fuse
features: nesting=1,keyctl=1
lxc.apparmor.profile: lxc-docker-nested
lxc.mount.entry: /srv/a srv/a none bind 0 0
""")


def taken(now, force=False):
    conf, conflicts = revert(BEFORE, AFTER, PveConf(now), force)
    return conf.render(), conflicts


@given(confs())
def test_nothing_is_touched_where_the_run_changed_nothing(text):
    conf = PveConf(text)
    assert revert(BEFORE, BEFORE, conf) == (conf, ())


def test_what_the_run_changed_goes_back():
    text, conflicts = taken(AFTER.render())
    assert conflicts == ()
    assert sorted(text.splitlines()) == sorted(BEFORE.render().splitlines())


def test_what_others_changed_since_stays():
    now = AFTER.render().replace("cores: 2", "cores: 4").replace("fuse\n", "fuse\nhostname: n\n")
    now = f"#a description\n{now}\n[snap]\ncores: 1\nlxc.apparmor.profile: lxc-docker-nested\n"
    text, conflicts = taken(now)
    assert conflicts == ()
    assert text == (
        "#a description\ncores: 4\nhostname: n\nfeatures: nesting=1\n"
        "lxc.apparmor.profile: unconfined\nlxc.cap.drop:\n"
        "\n[snap]\ncores: 1\nlxc.apparmor.profile: lxc-docker-nested\n"
    )


def test_a_feature_that_somebody_added_since_stays():
    text, conflicts = taken(AFTER.render().replace("keyctl=1", "keyctl=1,mount=nfs"))
    assert "features: nesting=1,mount=nfs\n" in text
    assert conflicts == ()


def test_what_is_back_already_stays_as_it_is():
    assert taken(BEFORE.render()) == (BEFORE.render(), ())


@pytest.mark.parametrize(
    ("ours", "theirs", "conflict"),
    [
        (
            "lxc.apparmor.profile: lxc-docker-nested",
            "lxc.apparmor.profile: lxc-mine",
            "lxc.apparmor.profile is lxc-mine now, the run had made it lxc-docker-nested",
        ),
        ("keyctl=1", "keyctl=0", "features: keyctl is 0 now, the run had made it 1"),
        (
            "dev0: /dev/fuse",
            "dev0: /dev/kvm",
            "dev0 is /dev/kvm now, the run had made it /dev/fuse",
        ),
    ],
)
def test_a_key_that_both_changed_is_shown_and_left_unless_forced(ours, theirs, conflict):
    now = AFTER.render().replace(ours, theirs)
    text, conflicts = taken(now)
    assert conflicts == (conflict,)
    assert theirs in text
    text, conflicts = taken(now, force=True)
    assert conflicts == ()
    assert theirs not in text
