"""Templates that somebody else wrote: what they may not do is one line, and nothing runs."""

import resource

import pytest
from jinja2 import StrictUndefined

from phoenix.apparmor.observed import ObservedAppArmor
from phoenix.cli import main as cli
from phoenix.plan.confinement import Confinement
from phoenix.plan.render import ProfileError, render_profile
from phoenix.report.page import audit_page
from phoenix.text.sandbox import Sandbox

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
        render_profile(Confinement("lxc-mine"), {"lxc-mine.j2": text}, ObservedAppArmor())


def test_what_an_error_quotes_moves_no_cursor():
    text = '{% include "\\n\x1b[2J" %}'
    with pytest.raises(ProfileError) as error:
        render_profile(Confinement("lxc-mine"), {"lxc-mine.j2": text}, ObservedAppArmor())
    assert str(error.value).isprintable()


def test_loops_and_macros_work_as_ever():
    text = (
        "{% macro m(x) %}<{{ x }}>{% endmacro %}"
        "{% for one in ('a', 'b') %}{{ loop.index }}/{{ loop.length }}{{ m(one) }}{% endfor %}"
        "{{ 3 * 'a' }}{{ 2 * 3 }}"
    )
    rendered = render_profile(Confinement("lxc-mine"), {"lxc-mine.j2": text}, ObservedAppArmor())
    assert rendered == "1/2<a>2/2<b>aaa6"


def test_the_page_of_the_audit_is_rendered_in_the_sandbox_and_escapes():
    data = {"need_attention": 0, "nodes_need_attention": []}
    assert audit_page({**data, "a": "<b>"}, "{{ a }}") == "&lt;b&gt;"
    with pytest.raises(Exception, match="is unsafe"):
        audit_page(data, "{{ ''.__class__ }}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x'|center(3000000000) }}",
        "{{ '%2000000000d'|format(1) }}",
        "{{ '%2000000000d' % 1 }}",
        "{{ 'x'|indent(2000000000, true) }}",
        "{{ 'x'|tojson(indent=2000000000) }}",
        "{{ [1]|batch(2000000000, 'x')|list }}",
        "{{ ['x']|map('center', 2000000000)|join }}",
        "{{ '{:>2000000000}'.format(1) }}",
        "{{ '{a:>2000000000}'.format_map({'a': 1}) }}",
        "{{ 'x'['rjust'](2000000000) }}",
        "{{ (1).to_bytes(2000000000) }}",
        "{{ lipsum(n=20000000) }}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}"
        "{% endfor %}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}"
        "{% endfor %}",
        "{% set n = namespace(s=1) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}"
        "{{ n.s }}",
        "{% set n = namespace(s=1) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}"
        "{{ n }}",
        "{{ range(100000)|join('x' * 1000000) }}",
        "{% set x = 'x' * 1000000 %}{{ x|replace('x', x) }}",
        "{% set x = 'x' * 1000000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
        "{% set x = 'x' * 1000000 %}{% macro m() %}{% for i in range(99999) %}{{ x ~ i }}"
        "{% endfor %}{% endmacro %}{{ m() }}",
        "{% for i in range(99999) %}" + "x" * 100000 + "{% endfor %}",
    ],
)
def test_nothing_that_a_template_makes_fills_the_memory(text):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # should it be made all the same, this machine shall not feel it
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, hard))
    try:
        with pytest.raises(Exception, match=r"too (large|much)|No filter named|unsafe|available|%"):
            Sandbox(undefined=StrictUndefined).from_string(text).render()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_what_templates_need_is_there():
    text = (
        "{{ 'a' ~ 1 ~ x }}{{ 7 % 3 }}{{ 'a' + 'b' }}{{ [1] + [2] }}{{ x.upper().split('|') }}"
        "{{ ['b', 'a']|sort|map('upper')|join('-') }}{{ 'abc'|replace('b', '') }}"
        "{{ {'k': 1}.items()|list }}{{ y|default('z') }}"
    )
    rendered = Sandbox().from_string(text).render(x="u|v")
    assert rendered == "a1u|v1ab[1, 2]['U', 'V']A-Bac[('k', 1)]z"
    escaping = Sandbox(autoescape=True).from_string("{{ '<' ~ x ~ ('<b>'|safe) }}")
    assert escaping.render(x="<") == "&lt;&lt;<b>"
