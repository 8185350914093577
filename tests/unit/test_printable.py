"""The one function through which text reaches a screen."""

import unicodedata

import pytest

from phoenix.text.printable import LONGEST_LINE, printable, printable_lines


def test_plain_text_of_any_language_stays_as_it_is():
    for text in ("", "lxc-docker-nested (enforce)", "Größe: 5 µm", "日本語"):
        assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x00\x7f", "\\x00\\x7f"),
        ("\udc9b", "\\udc9b"),
        ("\u202egpj\u2066", "\\u202egpj\\u2066"),
        ("\u200b\ufeff\u00ad", "\\u200b\\ufeff\\xad"),
        ("\u2028\u2029\u00a0", "\\u2028\\u2029\\xa0"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_no_plain_text_is_written_out(text, shown):
    assert printable(text) == shown


def test_no_character_of_a_dangerous_category_comes_through():
    every = [chr(code) for code in range(0x110000)]
    for char in every:
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert printable(char).isascii(), hex(ord(char))


def test_long_text_is_cut_in_its_middle_unless_there_is_no_limit():
    text = "a" * 100 + "z" * 100
    assert printable(text) == f"{'a' * 59}…{'z' * 20}"
    assert len(printable(text, 10)) == 10
    assert printable(text, None) == text
    assert printable("abc", 1) == "…"


def test_of_what_a_guest_printed_the_last_lines_are_shown_each_in_one_line():
    text = "".join(f"{number}\r\n\n" for number in range(40)) + "  \x1b[31m last\x85 "
    assert printable_lines(text, 2) == ["39", "\\x1b[31m last"]
    assert len(printable_lines(text)) == 15
    assert printable_lines("") == printable_lines(text, 0) == []
    # what overwrites itself, too
    assert printable_lines("10%\r20%\r30%", 1) == ["30%"]


def test_an_endless_line_is_cut():
    (line,) = printable_lines("x" * 10_000_000, 1)
    assert len(line) == LONGEST_LINE
