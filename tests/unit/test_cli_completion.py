"""A line is read as its shell means it, wherever its end is."""

import shlex

import pytest
from click.shell_completion import CompletionItem
from hypothesis import given, strategies as st

from gorilla.cli.app import root
from gorilla.cli.completion_bash import open_quote, split
from gorilla.cli.completion_fish import WORDS_VARIABLE, Fish, unquoted


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


@pytest.mark.parametrize(
    ("word", "plain"),
    [
        ("", ""),
        ("lo", "lo"),
        (r"a\ b", "a b"),
        ("a\\", "a"),
        ("'a b", "a b"),
        (r"'it\'s \n", r"it's \n"),
        (r'"\$HOME \"', '$HOME "'),
        (r'"\n', r"\n"),
        ("'a'b\"c\"", "abc"),
        (r"q\'uote", "q'uote"),
    ],
)
def test_a_word_of_fish_is_read_as_fish_reads_it(word, plain):
    assert unquoted(word) == plain


def test_the_value_of_an_option_is_offered_with_its_option_in_fish(monkeypatch):
    shell = Fish(root, {}, "gorilla", "_GORILLA_COMPLETE")

    monkeypatch.setenv(WORDS_VARIABLE, "gorilla\x1f--output=ya")
    assert shell.format_completion(CompletionItem("yaml")) == "plain\t--output=yaml"
    monkeypatch.setenv(WORDS_VARIABLE, "gorilla\x1flock\x1fshow\x1fa=")
    assert shell.format_completion(CompletionItem("a=b", help="x\ny")) == "plain\ta=b\tx y"
