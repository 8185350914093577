"""What a profile must know of the containers that use it."""

import pytest

from phoenix.docker.data_root import GuestPathError
from phoenix.plan.guest_paths import GuestPaths, guest_paths, written_data_roots


def test_without_anything_known_it_is_dockers_own_default():
    assert guest_paths([]) == GuestPaths() == GuestPaths(("/var/lib/docker",), ())


def test_data_roots_are_sorted_and_plain():
    found = guest_paths(["/srv//docker/", "/var/lib/docker", "/srv/docker"])
    assert found.data_roots == ("/srv/docker", "/var/lib/docker")


@pytest.mark.parametrize("path", ["/srv/data", "/mnt/x", "/data", "/photos", "/storage", "/opt"])
def test_a_mount_needs_no_rule_where_the_patterns_for_sources_reach(path):
    assert guest_paths([], [path]).sources == ()


@pytest.mark.parametrize("path", ["/projects", "/devel", "/system", "/prod", "/d", "/pr", "/sync"])
def test_a_mount_gets_one_where_they_do_not(path):
    assert guest_paths([], [f"{path}/a/b", path]).sources == (path,)


def test_volumes_under_a_data_root_count_as_sources():
    assert guest_paths(["/prod/docker"]) == GuestPaths(("/prod/docker",), ("/prod",))


@pytest.mark.parametrize("path", ["/dev/shared", "/proc/x", "/sys/fs/x"])
def test_what_is_the_kernels_own_gets_no_rule_and_holds_no_data(path):
    assert guest_paths([], [path]).sources == ()
    with pytest.raises(GuestPathError, match="Docker's data cannot lie there"):
        guest_paths([path])


@pytest.mark.parametrize(
    "odd",
    [*"?*[]{}^\"'\\,#@= \t\n$%&()<>|;~:!é", "@{HOME}", "\0"],
)
def test_a_character_that_could_mean_something_is_refused(odd):
    for path in (f"/srv/a{odd}b", f"/srv{odd}/a"):
        with pytest.raises(GuestPathError, match="only letters, digits and"):
            guest_paths([path])
    with pytest.raises(GuestPathError, match="only letters, digits and"):
        guest_paths([], [f"/pro{odd}jects/a"])


@pytest.mark.parametrize("path", ["", "/", "docker", "/srv/../etc", "/srv/./a"])
def test_what_is_no_plain_absolute_path_is_refused(path):
    with pytest.raises(GuestPathError):
        guest_paths([path])


def test_an_odd_mount_that_needs_no_rule_is_nobodys_problem():
    assert guest_paths([], ["/srv/my data"]).sources == ()


def test_the_data_roots_of_a_rendered_profile_are_read_back():
    assert written_data_roots("@{dkr_data} = /srv/docker /var/lib/docker\n@{x} = /y\n") == (
        "/srv/docker",
        "/var/lib/docker",
    )
    assert written_data_roots("@{dkr_root} = /var/lib/docker\n") == ()


@pytest.mark.parametrize("path", ["/a" * 101, "/" + "a" * 200, "/a/b/c/d/e/f/g/h/i"])
def test_a_data_root_has_a_length_and_a_depth_and_no_installed_profile_brings_a_longer_one(path):
    with pytest.raises(GuestPathError, match="longer than 200 characters or 8 folders") as error:
        guest_paths([path])
    assert len(str(error.value)) < 200
    assert written_data_roots(f"@{{dkr_data}} = {path} /srv/docker\n") == ("/srv/docker",)
    assert guest_paths(["/a/b/c/d/e/f/g/h", "/" + "a" * 199])


def test_of_an_installed_profile_come_no_more_data_roots_than_one_may_have():
    many = " ".join(f"/srv/{number}" for number in range(40))
    assert len(written_data_roots(f"@{{dkr_data}} = {many}\n")) == 16
