"""Shared by all tests."""

# hypothesis' pytest plugin imports it at the end of a run if no test did; on CPython 3.11 that late import can
# fail with "AST constructor recursion depth mismatch", so it is imported here, early.
import hypothesis  # noqa: F401

pytest_plugins = ["fclocal.testing"]
