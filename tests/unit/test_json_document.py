"""The strict JSON reader: the same values as the standard library, with places and refusals."""

import json

import pytest
from conf_strategies import CHARACTERS
from hypothesis import given
from hypothesis import strategies as st

from phoenix.fleet.document import MAX_BYTES, read_document
from phoenix.text.json_document import MAX_DEPTH, JsonDocument
from phoenix.text.problems import FleetError, json_path, printable

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS, max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS, max_size=5), inner)
    ),
    max_leaves=20,
)


def refusal(data):
    with pytest.raises(FleetError) as caught:
        read_document(data)
    (problem,) = caught.value.problems
    return str(problem)


@given(JSON, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_it_reads_what_the_standard_library_wrote(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        assert "not UTF-8" in refusal(data)
        return
    assert read_document(data).root.value == json.loads(text)


@given(JSON)
def test_every_node_knows_its_exact_source(value):
    document = read_document(json.dumps(value, indent=2).encode()).document
    nodes = [document.root]
    while nodes:
        node = nodes.pop()
        assert json.loads(document.text[node.start : node.end]) == node.value
        for key, member in node.members.items():
            assert json.loads("{" + document.text[member.start : member.node.end] + "}") == {
                key: member.node.value
            }
        nodes += [*node.items, *(member.node for member in node.members.values())]


@given(st.text('{}[]",:\\ \n0123456789eE+-.tru fals nl"ab', max_size=24))
def test_it_takes_and_refuses_what_the_standard_library_does(text):
    try:
        expected = json.loads(text)
    except ValueError:
        refusal(text.encode())
    else:
        assert read_document(text.encode()).root.value == expected


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "$: the file is empty"),
        (b"{", "$: end of file: not JSON: a key in double quotes"),
        (b'{"a":\n 1,}', "$: line 2, column 3: not JSON: trailing comma before }"),
        (b"{'a': 1}", "$: line 1, column 2: not JSON: a key in double quotes"),
        (b'{"a" 1}', "a colon is expected after the key 'a'"),
        (b'{"a": 1 "b": 2}', "a comma or } is expected"),
        (b'{"a": [1, 2}', "a: line 1, column 12: not JSON: a comma or ] is expected"),
        (b'{"a": {"b": NaN}}', "a.b: line 1, column 13: not JSON: 'NaN' is not JSON"),
        (b"[Infinity]", "'Infinity' is not JSON"),
        (b"[-Infinity]", "'-Infinity' is not JSON"),
        (b"[True]", "'True' is not JSON"),
        (b'["a', "unterminated string"),
        (b'["a\nb"]', "[0]: line 1, column 4: not JSON: invalid control character in a string"),
        (b'["\\x"]', r"invalid \escape"),
        (b"[1] // no", "JSON has no comments"),
        (b"[1] 2", "nothing may follow"),
        (b"# no\n{}", "JSON has no comments"),
        (b"[" + b"9" * 5000 + b"]", "a number of 5000 digits"),
        (b'{"a": "\xff"}', "$: byte 0xff in line 1: not UTF-8"),
        (b"\n\n\xc3", "$: byte 0xc3 in line 3: not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_way_to_it(data, says):
    assert says in refusal(data)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 100_000])
def test_deep_nesting_is_refused_before_python_gives_up(opening, depth):
    assert f"nested deeper than {MAX_DEPTH} levels" in refusal(opening * depth)


def test_nesting_up_to_the_limit_is_read():
    assert read_document(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).root.start == 0


def test_a_file_of_ten_megabytes_is_refused_by_its_size():
    assert f"larger than {MAX_BYTES} bytes" in refusal(b'{"a": "' + b"x" * 10_000_000 + b'"}')


def test_a_byte_order_mark_is_passed_over():
    assert read_document(b'\xef\xbb\xbf{"a": 1}').root.value == {"a": 1}


def test_a_duplicate_key_is_noted_with_both_places_and_the_last_one_counts():
    document = read_document(b'{"a": 1,\n "b": {"a": 2}, "a": 3}')
    assert document.root.value == {"a": 3, "b": {"a": 2}}
    (problem,) = document.problems
    assert str(problem) == (
        "a: 1: duplicate key (line 1, column 2 and line 2, column 17): keep one of them"
    )


def test_a_key_spelt_with_an_escape_is_still_a_duplicate():
    assert len(read_document(rb'{"a": 1, "\u0061": 2}').problems) == 1


def test_paths_quote_what_is_no_plain_word():
    assert json_path() == "$"
    assert json_path("lxc_configs", "910", "a", 0, "$schema") == "lxc_configs.910.a[0].$schema"
    assert json_path("a b", "c\n") == '["a b"]["c\\n"]'


@given(st.text(CHARACTERS))
def test_whatever_is_shown_fits_on_a_line(text):
    assert printable(text).isprintable()
    assert len(printable("x" * 1000)) < 100


@given(
    JSON,
    st.lists(st.text(CHARACTERS, max_size=4), min_size=1, max_size=3),
    JSON,
    st.sampled_from([None, 2]),
)
def test_what_is_set_is_there_and_what_is_dropped_is_gone_and_all_else_stays(
    value, path, new, indent
):
    text = json.dumps(value if isinstance(value, dict) else {"a": value}, indent=indent)
    before = JsonDocument.parse(text)
    after = before.set(tuple(path), new)
    assert after.find(*path).node.value == new
    again = after.set(tuple(path), new)
    assert again.text == after.text
    dropped = after.drop(tuple(path))
    assert dropped.find(*path) is None
    others = {key: one for key, one in before.root.value.items() if key != path[0]}
    for document in (after, dropped):
        left = {key: one for key, one in document.root.value.items() if key != path[0]}
        assert left == others


def test_a_value_in_the_way_gives_way():
    assert JsonDocument.parse('{"a": [], "b": 1}').set(("a", "c"), True).text == (
        '{"a": {"c": true}, "b": 1}'
    )
    assert JsonDocument.parse("[]").set(("a",), 1).root.value == {"a": 1}
    assert JsonDocument.parse(" ").set(("a", "b"), 1).root.value == {"a": {"b": 1}}
