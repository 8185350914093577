from phoenix.report.progress import Place, moving_line

WIDE = 120


def test_the_line_says_what_is_done_and_since_when():
    assert moving_line("CT 910 web", 67.9, WIDE) == "    CT 910 web: 1:07"


def test_what_those_before_took_tells_how_long_the_rest_may_take():
    line = moving_line("CT 910 web (3 of 5)", 30, WIDE, Place(3, 5), [50, 70])
    # 30 s of this one and a minute of each of the two after it
    assert line == "    CT 910 web (3 of 5): 0:30, usually 1:00, about 2 min to go"


def test_the_first_one_has_nothing_to_compare_with():
    assert moving_line("CT 910 web (1 of 5)", 30, WIDE, Place(1, 5)).endswith(": 0:30")


def test_one_that_takes_longer_than_usual_makes_the_rest_no_shorter():
    line = moving_line("CT 910 web (2 of 3)", 600, WIDE, Place(2, 3), [60])
    assert line.endswith("10:00, usually 1:00, about 1 min to go")


def test_the_last_seconds_are_no_minutes():
    line = moving_line("CT 910 web (2 of 2)", 40, WIDE, Place(2, 2), [60])
    assert line.endswith("less than a minute to go")


def test_no_line_is_longer_than_the_terminal_is_wide():
    line = moving_line("CT 910 web (2 of 2)", 40, 20, Place(2, 2), [60])
    assert line == "    CT 910 web (2 of"


def test_a_name_moves_no_cursor():
    assert "\033" not in moving_line("CT 910 \033[2Jweb", 0, WIDE)


def test_only_one_of_several_has_a_place_in_its_name():
    assert Place(2, 3).after("CT 910 web") == "CT 910 web (2 of 3)"
    assert Place(1, 1).after("CT 910 web") == "CT 910 web"
