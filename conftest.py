"""Loaded for every path that pytest is given: the suite's options, and its hold on notebooks.

At the root, because pytest applies a folder's conftest.py to that folder only, and the suite also
runs the notebooks in chapters/.
"""

pytest_plugins = ["tests.suite_options", "tests.suite_notebooks"]
