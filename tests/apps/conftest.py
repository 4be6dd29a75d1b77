"""Fixtures of the command's tests."""

from command_fixture import model  # noqa: F401  offered to all of them
