"""Tests that each error of ours which a caller may cause has a status below 500."""

from __future__ import annotations

from http import HTTPStatus

from features.errors import AlreadyDecided, CustomerForgotten, InvalidEvent, LedgerDown, Overloaded
from serving.contract.statuses import STATUSES
from serving.server.openapi import status_of


def test_errors_of_the_caller_are_4xx_and_ours_503():
    assert status_of(InvalidEvent, STATUSES) == HTTPStatus.BAD_REQUEST
    assert status_of(CustomerForgotten, STATUSES) == HTTPStatus.GONE
    assert status_of(AlreadyDecided, STATUSES) == HTTPStatus.CONFLICT
    for ours in (LedgerDown, Overloaded):
        assert status_of(ours, STATUSES) == HTTPStatus.SERVICE_UNAVAILABLE
