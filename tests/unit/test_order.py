"""In which order containers are worked on."""

import pytest

from phoenix.fleet.model import Container
from phoenix.fleet.order import circles, in_order


def order(*containers):
    return [container.ctid for container in in_order(containers)]


def ct(ctid, boot_order=None, *dependencies):
    return Container(ctid, boot_order=boot_order, dependencies=dependencies)


def test_without_any_wish_the_files_order_stands():
    assert order(ct(952), ct(910), ct(953)) == [952, 910, 953]


def test_a_lower_boot_order_goes_first_and_none_goes_last():
    assert order(ct(910), ct(952, 3), ct(953, 1), ct(954, 0)) == [954, 953, 952, 910]


def test_equals_keep_the_files_order():
    assert order(ct(956, 3), ct(954, 3), ct(952, 3), ct(953, 1)) == [953, 956, 954, 952]


def test_a_container_that_others_depend_on_goes_first_whatever_its_boot_order():
    assert order(ct(910, 1, 953), ct(953, 9), ct(952, 5)) == [952, 953, 910]


def test_dependencies_are_followed_over_several_steps():
    assert order(ct(910, 0, 952), ct(952, 0, 953), ct(953, 7)) == [953, 952, 910]


def test_a_dependency_that_is_not_among_them_is_as_good_as_fulfilled():
    assert order(ct(910, 1, 999), ct(953, 2)) == [910, 953]


def test_a_circle_is_told_as_a_chain_from_its_first_container():
    waits = {913: [910], 910: [911, 953], 911: [912], 912: [910], 953: [953]}
    assert list(circles(waits)) == [[910, 911, 912, 910]]


@pytest.mark.parametrize("waits", [{}, {910: [911], 911: []}, {910: [999]}, {910: [910]}])
def test_what_is_no_circle_is_none(waits):
    assert list(circles(waits)) == []


def test_every_circle_is_found_at_once():
    waits = {910: [911], 911: [910], 920: [921], 921: [920]}
    assert list(circles(waits)) == [[910, 911, 910], [920, 921, 920]]


def test_containers_in_a_circle_have_no_order():
    with pytest.raises(ValueError, match="cycle"):
        order(ct(910, 1, 953), ct(953, 1, 910))
