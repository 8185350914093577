"""Templates that somebody else wrote: what they may not do is one line, and nothing runs."""

import pytest

from phoenix import cli
from phoenix.apparmor import ObservedAppArmor
from phoenix.audit_report import audit_page
from phoenix.render import ProfileError, render_profile
from phoenix.wish import Wish

RUNS = "os.popen('touch {marker}').read() }}}}"
REACHES_OUT = (
    "{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}",
    "{{{{ cycler.__init__.__globals__." + RUNS,
    "{{{{ lipsum.__globals__." + RUNS,
    "{{{{ self.__init__.__globals__ }}}}",
    "{{{{ ''|attr('__class__') }}}}",
    "{{{{ '{{0.__class__}}'.format('') }}}}",
)
GOES_ON = (
    "{% for a in range(9**9) %}{% endfor %}",
    "{% for a in range(10000000) %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include 'lxc-mine.j2' %}",
    "{{ 'a' * 99999999999 }}",
    "{{ 9 ** 9 ** 9 }}",
)


@pytest.mark.parametrize("text", REACHES_OUT)
def test_a_template_that_reaches_into_python_is_one_line_and_runs_nothing(tmp_path, capsys, text):
    marker, file = tmp_path / "marker", tmp_path / "lxc-mine.j2"
    file.write_text(text.format(marker=marker))
    assert cli.main(["lint", str(file)]) == 2
    out, err = capsys.readouterr()
    # a machine without apparmor_parser says that in a line of its own
    (line,) = [line for line in err.splitlines() if "lxc-mine.j2" in line]
    assert "lxc-mine.j2 does not render: access to attribute" in line
    assert out == ""
    assert not marker.exists()


@pytest.mark.parametrize("text", GOES_ON)
def test_a_template_that_would_go_on_for_ever_or_fill_the_memory_is_a_problem(text):
    with pytest.raises(ProfileError, match=r"^lxc-mine\.j2 does not render: [^\n]+$"):
        render_profile(Wish("lxc-mine"), {"lxc-mine.j2": text}, ObservedAppArmor())


def test_what_an_error_quotes_moves_no_cursor():
    text = '{% include "\\n\x1b[2J" %}'
    with pytest.raises(ProfileError) as error:
        render_profile(Wish("lxc-mine"), {"lxc-mine.j2": text}, ObservedAppArmor())
    assert str(error.value).isprintable()


def test_loops_and_macros_work_as_ever():
    text = (
        "{% macro m(x) %}<{{ x }}>{% endmacro %}"
        "{% for one in ('a', 'b') %}{{ loop.index }}/{{ loop.length }}{{ m(one) }}{% endfor %}"
        "{{ 3 * 'a' }}{{ 2 * 3 }}"
    )
    rendered = render_profile(Wish("lxc-mine"), {"lxc-mine.j2": text}, ObservedAppArmor())
    assert rendered == "1/2<a>2/2<b>aaa6"


def test_the_page_of_the_audit_is_rendered_in_the_sandbox_and_escapes():
    assert audit_page({"a": "<b>"}, "{{ a }}") == "&lt;b&gt;"
    with pytest.raises(Exception, match="is unsafe"):
        audit_page({}, "{{ ''.__class__ }}")
