# SPDX-License-Identifier: MIT
"""test_observability.py once more over HTTP/3: access log, callback, metrics, request ids, as requests over it leave them.

What is left out, and why, is LEFT_OUT.
"""
import json

import pytest

import test_observability
from h3wire import H3, H3Wire, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from test_observability import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import

LEFT_OUT = {
    "what HTTP/1.1's parser refuses; what HTTP/3's does is below": "test_refused_by_the_parser",
    "about the log's own file, which no version of HTTP knows of": """
        test_nobody_reads_the_log test_reader_of_the_log_leaves test_refused_settings""",
}
for _name in " ".join(LEFT_OUT.values()).split():
    del globals()[_name]


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_observability)


def test_refused_fields(json_log):
    """Who is answered has a line, and so has one whose request was none, which ends by a reset."""
    server, path = json_log
    with H3(server.addr) as c:
        assert c.get("/hello", ("expect", "a miracle")).status == 417
        assert c.get("/hello", *[(f"x-{i}", "v" * 200) for i in range(120)]).status == 431
        assert c.get("/hello", ("content-length", "5")).reset is not None
    logged = [json.loads(x) for x in lines_of(path, 3)]  # noqa: F405
    assert [(x["status"], x["version"]) for x in logged] == [(417, 30), (431, 30), (0, 30)]
    assert len(callbacks(server, 3)) == 3  # noqa: F405
