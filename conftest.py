"""Loaded for every path that pytest is given: the suite's options, and its hold on notebooks.

At the root, because pytest applies a folder's conftest.py to that folder only, and the suite also
runs the notebooks in chapters/.
"""

import signal

# A shell that starts the suite in the background lets it ignore Ctrl-C, and every process that a
# test starts inherits that. Tests of interruption need the usual behaviour.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.suite_options", "tests.suite_notebooks"]
