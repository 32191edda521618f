"""Tables fit the terminal, whatever is in them; in a pipe a row is one line."""

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from gorilla.cli.tables import (
    Column,
    Facts,
    Styled,
    Table,
    count_of,
    counted,
    cut,
    laid_out,
    painted,
    visible,
    wrapped_to,
)

COLUMNS = (
    Column("NAME", flexible=True),
    Column("COUNT", right=True),
    Column("NOTE", flexible=True),
)


def test_what_fits_is_one_line_a_row():
    table = Table(COLUMNS, [["orders/42", 7, "deploy"], ["b", 12, None]])

    assert laid_out(table, 80) == [
        "NAME       COUNT  NOTE",
        "orders/42      7  deploy",
        "b             12  -",
    ]


def test_what_does_not_fit_is_wrapped_between_words_and_parts_of_names():
    table = Table(COLUMNS, [["orders/2025/05/fourth", 7, "the nightly import of all orders"]])

    assert laid_out(table, 40) == [
        "NAME             COUNT  NOTE",
        "orders/2025/05/      7  the nightly",
        "fourth                  import of all",
        "                        orders",
    ]


def test_in_a_pipe_a_row_is_one_line_however_long():
    long = "x" * 500

    assert laid_out(Table(COLUMNS, [[long, 1, long]]), None)[1:] == [f"{long}      1  {long}"]


def test_where_a_table_has_no_room_its_rows_stand_one_below_the_other():
    table = Table(COLUMNS, [["orders/2025/05", 7, "nightly import of it"], ["b", 1, "ü"]])

    assert laid_out(table, 24) == [
        "NAME   orders/2025/05",
        "COUNT  7",
        "NOTE   nightly import of",
        "       it",
        "",
        "NAME   b",
        "COUNT  1",
        "NOTE   ü",
    ]


def test_a_row_that_must_be_one_line_is_cut_in_the_middle_of_what_is_long():
    table = Table(COLUMNS, [["orders/2025/05/fourth", 7, "short"]], cuts=True)

    assert laid_out(table, 30) == [
        "NAME              COUNT  NOTE",
        "orders/…5/fourth      7  short",
    ]


def test_characters_of_two_cells_are_counted_as_such():
    table = Table(COLUMNS, [["ロック", 1, "a"], ["lock", 1, "b"]])

    assert laid_out(table, 80)[1:] == ["ロック      1  a", "lock        1  b"]


def test_facts_without_a_value_are_left_out():
    facts = Facts([("owner", "a"), ("reason", None), ("token", "x" * 10)])

    assert laid_out(facts, 12) == ["owner  a", "token  xxxxx", "       xxxxx"]


def test_what_would_steer_a_terminal_is_shown_as_an_escape():
    assert visible("a\x1b[2Jb\u202ec\u2028d") == "a\\x1b[2Jb\\u202ec\\u2028d"
    assert visible("Grüße ✅ 日本") == "Grüße ✅ 日本"


def test_colours_are_given_to_text_and_never_to_space():
    assert painted("a", "bad", color=True) == "\x1b[31ma\x1b[0m"
    assert painted("a", "bad", color=False) == "a"
    assert painted("", "bad", color=True) == ""


CELLS = st.one_of(
    st.text(max_size=60), st.integers(), st.none(), st.builds(Styled, st.text(), st.just("bad"))
)


@given(
    st.lists(st.tuples(CELLS, st.integers(0, 10**9), CELLS), max_size=5),
    st.integers(20, 130),
    st.booleans(),
)
def test_no_line_is_wider_than_the_terminal(rows, width, cuts):
    for line in laid_out(Table(COLUMNS, rows, cuts), width):
        assert cell_len(line) <= width
        assert line.isprintable()


@given(st.text(max_size=80), st.integers(2, 40))
def test_wrapping_loses_nothing_but_space(text, width):
    shown = visible(text)
    pieces = wrapped_to(shown, width)

    assert all(cell_len(piece) <= width for piece in pieces)
    assert "".join(pieces).replace(" ", "") == shown.replace(" ", "")


@given(st.text(max_size=80), st.integers(2, 40))
def test_what_is_cut_fits_and_keeps_its_beginning(text, width):
    shown = cut(visible(text), width)

    assert cell_len(shown) <= width
    assert shown == visible(text) or "…" in shown


@pytest.mark.parametrize(("count", "said"), [(0, "0 locks"), (1, "1 lock"), (3, "3 locks")])
def test_a_count_agrees_with_its_noun(count, said):
    assert (count_of(range(count), "lock"), counted(count, "lock")) == (said, said)
