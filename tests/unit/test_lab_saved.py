"""The node that each checkout begins with: booted once for what it depends on, then copied."""

from __future__ import annotations

import json

import pytest

from lab import cache, emulator, saved
from lab.errors import LabError
from lab.recipe import STACKS

STABLE, CURRENT = STACKS.values()


@pytest.fixture
def boots(monkeypatch, tmp_path):
    """Boots as they were asked for; each leaves a disk and its key. QEMU's version is "7"."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(emulator, "version", lambda: "7")
    asked = []

    def boot(folder, image, trees, accel):
        asked.append(accel)
        (folder / "disk.qcow2").write_text(f"disk {len(asked)}")
        (folder / "key.pub").write_text("public")
        (folder / "key").write_text("private")
        (folder / "key").chmod(0o600)
        versions = saved.seen(STABLE) | {"kernel": "9.9"}
        (folder / "versions.json").write_text(json.dumps(versions))

    monkeypatch.setattr(saved, "_boot", boot)
    return asked


@pytest.fixture
def image(tmp_path):
    (tmp_path / "build-id").write_text("built")
    return tmp_path


def test_it_is_booted_once_for_all_checkouts(boots, image):
    first = saved.place(STABLE, image, image, "tcg")
    assert saved.place(STABLE, image, image, "tcg") == first
    assert boots == ["tcg"]


def test_another_stack_accelerator_qemu_or_image_is_another_one(boots, image, monkeypatch):
    places = [saved.place(STABLE, image, image, accel) for accel in ("tcg", "kvm")]
    places.append(saved.place(CURRENT, image, image, "tcg"))
    monkeypatch.setattr(emulator, "version", lambda: "8")
    places.append(saved.place(STABLE, image, image, "tcg"))
    (image / "build-id").write_text("built anew")
    places.append(saved.place(STABLE, image, image, "tcg"))
    assert len({*places}) == len(boots) == 5


def test_a_checkout_has_a_copy_and_its_key_is_for_its_user_alone(boots, image, tmp_path):
    node = saved.place(STABLE, image, image, "tcg")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "disk.qcow2").write_text("what was there before, and was longer")
    saved.copy(node, mine)
    (mine / "disk.qcow2").write_text("changed")
    assert (node / "disk.qcow2").read_text() == "disk 1"
    assert (mine / "key").stat().st_mode & 0o777 == 0o600
    assert (mine / "key.pub").read_text() == "public"


def test_a_copy_that_fails_says_why_in_one_line(boots, image, tmp_path):
    node = saved.place(STABLE, image, image, "tcg")
    with pytest.raises(LabError, match=r"cannot be copied: cp: .*none/disk\.qcow2"):
        saved.copy(node, tmp_path / "none")


def test_one_that_is_of_no_use_is_booted_anew_and_what_somebody_else_booted_stays(boots, image):
    node = saved.place(STABLE, image, image, "tcg")
    build = cache.build_id(node)
    for _ in range(2):
        cache.drop(node, build)
        assert saved.place(STABLE, image, image, "tcg") == node
        assert (node / "disk.qcow2").read_text() == "disk 2"


def test_whoever_takes_it_is_told_what_has_another_version_than_was_seen(boots, image, capsys):
    for _ in range(2):
        saved.place(STABLE, image, image, "tcg")
        said = capsys.readouterr().err
        assert f"kernel {saved.seen(STABLE)['kernel']} -> 9.9" in said
