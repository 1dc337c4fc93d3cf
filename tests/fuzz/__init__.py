"""Fuzzing of all that reads an answer; runs by `tox run -e fuzz`, apart from the tests."""
