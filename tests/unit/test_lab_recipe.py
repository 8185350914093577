"""Cache keys of the lab's images, and the shift of owners in an ext4 image."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from lab import recipe
from lab.ext4 import shift_owners
from lab.tools import search_path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("two")
    return tmp_path


def key(folder):
    return recipe.digest(recipe.tree(folder))


def test_the_key_stays_when_nothing_changes(folder):
    assert key(folder) == key(folder)


def test_the_key_changes_with_a_files_content(folder):
    before = key(folder)
    (folder / "a").write_text("other")
    assert key(folder) != before


def test_the_key_changes_when_a_file_becomes_executable(folder):
    before = key(folder)
    (folder / "a").chmod(0o755)
    assert key(folder) != before


def test_the_key_ignores_byte_code(folder):
    before = key(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("x")
    assert key(folder) == before


def test_a_change_of_the_nodes_files_leaves_the_trees_alone(monkeypatch, folder):
    stack = recipe.STACKS["stable"]
    trees, image = recipe.trees_key(stack), recipe.image_key(stack)
    monkeypatch.setattr(recipe, "NODE_FILES", folder)
    assert recipe.trees_key(stack) == trees
    assert recipe.image_key(stack) != image


def test_each_stack_has_trees_and_an_image_of_its_own():
    keys = [
        key(stack)
        for stack in recipe.STACKS.values()
        for key in (recipe.trees_key, recipe.image_key)
    ]
    assert len({*keys}) == 4


@pytest.mark.skipif(shutil.which("mke2fs", path=search_path()) is None, reason="needs e2fsprogs")
def test_every_owner_in_the_image_is_shifted_and_the_image_stays_sound(tmp_path):
    tree, image = tmp_path / "tree", tmp_path / "image"
    (tree / "sub").mkdir(parents=True)
    for number in range(3000):  # more than one inode table block
        (tree / "sub" / f"file{number}").touch()
    environment = {"PATH": search_path()}
    options = ["-q", "-F", "-t", "ext4", "-O", "^metadata_csum", "-d", str(tree)]
    subprocess.run(["mke2fs", *options, str(image), "300M"], check=True, env=environment)
    assert shift_owners(image, 100000) >= 3002
    subprocess.run(["e2fsck", "-fn", str(image)], check=True, env=environment)
    for path in ("/", "/sub", "/sub/file0", "/sub/file2999"):
        shown = subprocess.run(
            ["debugfs", "-R", f"stat {path}", str(image)],
            check=True,
            env=environment,
            capture_output=True,
            text=True,
        ).stdout
        owner = int(shown.split("User:")[1].split()[0])
        assert owner - 100000 == tree.stat().st_uid if path != "/" else owner == 100000


def test_an_image_with_checksums_is_refused(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(b"\0" * 4096)
    with pytest.raises(ValueError, match="no ext4 image"):
        shift_owners(image, 1)
