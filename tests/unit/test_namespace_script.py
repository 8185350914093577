"""The hook that makes and removes policy namespaces, against a fake securityfs."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "templates/node/namespace.sh"


@pytest.fixture
def hook(tmp_path):
    """Call the hook as LXC does: the type in the environment, or as the third argument."""
    all_ = tmp_path / "sys/kernel/security/apparmor/policy/namespaces"
    all_.mkdir(parents=True)

    def call(kind, version=0, name="910"):
        env = {"PATH": os.environ["PATH"], "PHOENIX_ROOT": str(tmp_path), "LXC_NAME": name}
        arguments = [name, "lxc", kind] if version == 0 else []
        if version == 1:
            env["LXC_HOOK_TYPE"] = kind
        done = subprocess.run(
            ["sh", SCRIPT, *arguments], env=env, capture_output=True, text=True, timeout=30
        )
        return done, sorted(path.name for path in all_.glob("*"))

    call.all = all_
    return call


@pytest.mark.parametrize("version", [0, 1])
def test_a_namespace_lives_from_the_start_to_the_stop(hook, version):
    done, there = hook("pre-start", version)
    assert (done.returncode, done.stderr) == (0, "")
    assert there == ["lxc-910_<-var-lib-lxc>"]
    done, there = hook("post-stop", version)
    assert (done.returncode, done.stderr, there) == (0, "", [])


def test_a_namespace_that_was_left_behind_is_made_anew(hook):
    left = hook.all / "lxc-910_<-var-lib-lxc>"
    other = hook.all / "lxc-952_<-var-lib-lxc>"
    for namespace in (left, other):
        namespace.mkdir(mode=0o700)
    done, there = hook("pre-start")
    assert done.returncode == 0
    assert there == [left.name, other.name]
    assert left.stat().st_mode & 0o777 == 0o755
    assert other.stat().st_mode & 0o777 == 0o700


def test_a_stop_never_fails_and_says_what_it_left(hook):
    (hook.all / "lxc-910_<-var-lib-lxc>/busy").mkdir(parents=True)
    done, there = hook("post-stop")
    assert done.returncode == 0
    assert "cannot remove" in done.stderr
    assert there == ["lxc-910_<-var-lib-lxc>"]
    assert hook("post-stop", name="952")[0].returncode == 0


def test_a_start_goes_on_in_a_namespace_that_cannot_be_made_anew(hook):
    (hook.all / "lxc-910_<-var-lib-lxc>/busy").mkdir(parents=True)
    assert hook("pre-start")[0].returncode == 0


def test_without_securityfs_a_start_fails_and_says_why(hook):
    hook.all.rmdir()
    done, there = hook("pre-start")
    assert (done.returncode, there) == (1, [])
    assert "is securityfs mounted?" in done.stderr


def test_another_kind_of_hook_makes_nothing(hook):
    done, there = hook("start")
    assert (done.returncode, there) == (0, [])
