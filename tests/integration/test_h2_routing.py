# SPDX-License-Identifier: MIT
"""test_routing.py once more over HTTP/2: routes, middleware, error handlers, with the same requests and the same answers."""
import pytest

import test_routing
from h2wire import H2Wire, instead_of_wire
from test_routing import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h2(monkeypatch):
    instead_of_wire(monkeypatch, test_routing)


@pytest.fixture
def w(server):
    with H2Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes.
del test_error_handler_sees_what_the_parser_refuses
del test_problem_json_everywhere
del test_body_limit_of_a_group
