"""A line is read as bash means it, wherever its end is."""

import shlex

import pytest
from hypothesis import given, strategies as st

from gorilla.cli.completion_bash import open_quote, split


@pytest.mark.parametrize(
    ("line", "words", "quote"),
    [
        ("gorilla ", ["gorilla", ""], ""),
        ("gorilla lo", ["gorilla", "lo"], ""),
        ("gorilla lock show a\\ ", ["gorilla", "lock", "show", "a "], ""),
        ("gorilla lock show a\\ b ", ["gorilla", "lock", "show", "a b", ""], ""),
        ("gorilla lock show 'a b", ["gorilla", "lock", "show", "a b"], "'"),
        ("gorilla lock show \"it's a", ["gorilla", "lock", "show", "it's a"], '"'),
        ("gorilla lock show 'done' x:y", ["gorilla", "lock", "show", "done", "x:y"], ""),
        ("gorilla 'a\\' b", ["gorilla", "a\\", "b"], ""),
        ("", [""], ""),
    ],
)
def test_the_last_word_is_what_is_completed(line, words, quote):
    assert split(line) == words
    assert open_quote(line) == quote


@given(st.lists(st.text("ab \"'\\:*#$é", min_size=1, max_size=6), min_size=1, max_size=4))
def test_whatever_is_quoted_is_read_back(words):
    line = shlex.join(words)

    assert split(f"{line} ") == [*words, ""]
    assert open_quote(line) == ""
