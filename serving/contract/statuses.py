"""The HTTP status with which the API answers each kind of error."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from features.errors import (
    AlreadyDecided,
    CustomerForgotten,
    DecisionConflict,
    DecisionUnknown,
    IdentityUnknown,
    InvalidData,
    InvalidRequest,
    LedgerDown,
    NbaError,
    NotCounted,
    NotRepeatable,
    NotVisible,
    Overloaded,
)

STATUSES: Mapping[type[NbaError], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    InvalidData: HTTPStatus.BAD_REQUEST,
    IdentityUnknown: HTTPStatus.NOT_FOUND,
    CustomerForgotten: HTTPStatus.GONE,
    NotVisible: HTTPStatus.SERVICE_UNAVAILABLE,
    NotCounted: HTTPStatus.SERVICE_UNAVAILABLE,
    LedgerDown: HTTPStatus.SERVICE_UNAVAILABLE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    DecisionUnknown: HTTPStatus.NOT_FOUND,
    DecisionConflict: HTTPStatus.CONFLICT,
    AlreadyDecided: HTTPStatus.CONFLICT,
    NotRepeatable: HTTPStatus.CONFLICT,
}
