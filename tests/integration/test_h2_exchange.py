# SPDX-License-Identifier: MIT
"""test_exchange.py once more over HTTP/2: what handlers can do with an exchange, with the same requests and the same answers."""
import pytest

import test_exchange
from h2wire import H2Wire, instead_of_wire
from test_exchange import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h2(monkeypatch):
    instead_of_wire(monkeypatch, test_exchange)


@pytest.fixture
def w(server):
    with H2Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes.
del test_no_inform_for_http10
del test_trailers_are_dropped_where_none_can_be
del test_peer_that_left_before_the_answer
del test_fewer_bytes_than_announced_cut_the_connection
del test_error_after_the_head_cuts_the_response
del test_file_shorter_than_announced_cuts_the_connection
del test_client_that_leaves_within_a_file
del test_client_that_leaves_within_a_stream
del test_continue_comes_when_the_body_is_asked_for
del test_body_too_large_asked_for_later
del test_answer_before_the_body_has_ended
del test_malformed_multipart
del test_trailers
