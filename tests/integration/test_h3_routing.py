# SPDX-License-Identifier: MIT
"""test_routing.py once more over HTTP/3: routes, middleware, error handlers, with the same requests and the same answers."""
import pytest

import test_routing
from h3wire import H3Wire, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from test_routing import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_routing)


@pytest.fixture
def w(server):
    with H3Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes.
del test_error_handler_sees_what_the_parser_refuses
del test_problem_json_everywhere
del test_body_limit_of_a_group
