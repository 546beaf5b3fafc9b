"""A pytest plugin: writes what became of each test to the file TCK_OUTCOMES, as JSON: {test: [outcome, why]}.

    PYTHONPATH=tests/mesh/peers python -m pytest -p tck_outcomes ...

An outcome is `passed`, `failed`, `skipped` or `xfailed`; `why` is the end of the message, if it did not pass. A test whose
setup or teardown fails has failed.
"""

import json
import os
from pathlib import Path

OUTCOMES = {}


def pytest_runtest_logreport(report):
    known = OUTCOMES.get(report.nodeid, ['', ''])[0]
    if report.when != 'call' and report.passed or known == 'failed':
        return
    outcome = 'xfailed' if hasattr(report, 'wasxfail') and report.skipped else report.outcome
    OUTCOMES[report.nodeid] = [outcome, '' if report.passed else why(report)]


def why(report):
    """The line of the failure that says most, in one line."""
    if hasattr(report, 'wasxfail'):
        text = report.wasxfail
    elif isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        text = report.longrepr[2]
    else:
        crash = getattr(report.longrepr, 'reprcrash', None)
        text = crash.message if crash else str(report.longrepr)
    return ' '.join(text.split())[:400]


def pytest_sessionfinish():
    Path(os.environ['TCK_OUTCOMES']).write_text(json.dumps(OUTCOMES))
