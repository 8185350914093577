"""The plot of `make bench`: bench/plot.py."""

import importlib.util
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "bench/plot.py"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("bench_plot", PATH)
    found = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


def texts(image):
    return {one.text: one for one in image.iter(f"{SVG}text")}


def test_ten_times_the_seconds_are_as_far_apart_everywhere(module):
    lines = [module.Line("few", {"ours": 2, "shell": 20, "Ansible": 200}, [])]
    image = ET.fromstring(module.plot(lines, "here"))
    one, two, three = (float(texts(image)[text].get("x")) for text in ("2.0 s", "20 s", "200 s"))
    assert two - one == pytest.approx(three - two, abs=0.2)


def test_a_number_that_would_run_into_the_one_before_stands_below_its_dot(module):
    lines = [module.Line("apply", {"ours": 120, "restarts": 100}, [])]
    image = ET.fromstring(module.plot(lines, "here"))
    above, below = (float(texts(image)[text].get("y")) for text in ("100 s", "120 s"))
    assert below > above


def test_what_was_left_out_is_named(module):
    lines = [module.Line("many <1>", {"ours": 8}, ["Ansible", "shell"])]
    image = ET.fromstring(module.plot(lines, "here & now"))
    assert {"left out: Ansible, pct in a shell", "many <1>", "here & now"} <= texts(image).keys()
