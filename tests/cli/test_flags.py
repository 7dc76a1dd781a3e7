"""Flags made from settings classes: how values are written, and what the help says."""

import argparse
from typing import Annotated, Any

import pytest
from pydantic import PositiveFloat

from groundup.cli.flags import add_settings, given_settings
from groundup.errors import InputError
from groundup.settings import FieldsOf, Settings


class Inner(Settings):
    width: int = 3
    """How wide."""


class Outer(Settings):
    """Everything."""

    names: list[str] = []
    """Some names."""
    minutes: PositiveFloat | None = None
    """How long."""
    inner: Inner = Inner()
    table: Annotated[dict[str, Any], FieldsOf(Inner)] = {}


def given(*typed: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_settings(parser, "outer", Outer)
    return given_settings(parser.parse_args(typed)).get("outer", {})


@pytest.mark.parametrize(
    ("typed", "names"),
    [("a.txt", ["a.txt"]), ("a,二", ["a", "二"]), ('["a,b", "c"]', ["a,b", "c"]), ("[]", [])],
)
def test_a_list_is_one_value_or_several_with_commas_or_json(typed: str, names: list[str]):
    assert Outer.parse(given("--outer.names", typed)).names == names


def test_what_may_be_unset_is_unset_by_none():
    assert Outer.parse(given("--outer.minutes", "none")).minutes is None
    with pytest.raises(InputError, match="^--outer.inner.width must be a whole number, not 'none'"):
        Outer.parse(given("--outer.inner.width", "none"))


def test_a_table_of_other_settings_has_their_flags():
    assert given("--outer.table.width", "5") == {"table": {"width": "5"}}


def test_the_help_says_what_kind_of_value_is_wanted():
    parser = argparse.ArgumentParser()
    add_settings(parser, "outer", Outer)
    said = parser.format_help()
    assert "--outer.names LIST" in said and "--outer.minutes FLOAT" in said


def test_the_same_mistake_in_a_file_names_the_setting_and_the_file():
    with pytest.raises(InputError) as error:
        Outer.parse({"minutes": -1}, "r.toml")
    assert str(error.value) == (
        "setting 'minutes' must be a number above 0, not -1\n  where: r.toml"
    )
