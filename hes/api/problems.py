"""
The one table from what went wrong to what HTTP says of it (RFC 9457, problem+json).

`detail` is for the caller and holds no internals; what the operator of the head-end needs goes to
the log under the same `request_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import msgspec

from hes.domain.errors import (
    HesError,
    KeyUnavailableError,
    StorageUnavailableError,
    UnknownMeterError,
)
from hes.meters import BadCursorError
from hes.plans.service import (
    PlanChangedError,
    PlanDisabledError,
    PlanExistsError,
    UnknownPlanError,
)
from hes.readings import EntryHandledError, EntryUnknownError

CONTENT_TYPE = "application/problem+json"


@attrs.frozen
class ProblemKind:
    """One row of the table. `advice` is what the reader of `type` finds there."""

    code: str
    status: int
    title: str
    advice: str
    retry_after_s: int | None = None


_TABLE = (
    ProblemKind(
        "parameter_unknown",
        400,
        "Unknown parameter",
        "Each operation takes only the parameters that /openapi.json lists. Check the spelling.",
    ),
    ProblemKind(
        "parameter_invalid",
        400,
        "Invalid parameter",
        "`errors` names each parameter that was refused and why. Nothing was done.",
    ),
    ProblemKind(
        "body_invalid",
        400,
        "Invalid body",
        "`errors` names what was refused and why. Nothing was done.",
    ),
    ProblemKind(
        "cursor_invalid",
        400,
        "Invalid cursor",
        "Use `next_cursor` of the page before, unchanged, with the same filters; or start again "
        "without a cursor.",
    ),
    ProblemKind(
        "range_invalid",
        400,
        "Invalid time range",
        "Ranges are half-open, [from, to): `from` must be before `to`.",
    ),
    ProblemKind(
        "timezone_invalid",
        400,
        "Invalid time zone",
        "`timezone` is an IANA name such as Europe/Berlin. Days of zones whose clocks differ from "
        "the meter's by half or quarter hours cannot be made of its hours; ask without `interval`.",
    ),
    ProblemKind(
        "not_found",
        404,
        "Nothing here",
        "The path is not one of /openapi.json.",
    ),
    ProblemKind(
        "meter_not_found",
        404,
        "No such meter",
        "No meter in the inventory has this id. GET /v1/meters?q=… finds meters by serial.",
    ),
    ProblemKind(
        "meter_exists",
        409,
        "There is a meter of this serial",
        "`detail` has its id. Change it with PATCH /v1/meters/{meter_id}, or import a file with "
        "on_existing=replace.",
    ),
    ProblemKind(
        "change_refused",
        422,
        "This cannot be",
        "`errors` names what is wrong in itself, or contradicts what is there. Nothing was done.",
    ),
    ProblemKind(
        "state_refused",
        409,
        "No such step in the life of a meter",
        "`detail` says in which state the meter is, and what may follow.",
    ),
    ProblemKind(
        "association_not_found",
        404,
        "No association of this client",
        "GET /v1/meters/{meter_id} lists those that there are.",
    ),
    ProblemKind(
        "keys_unavailable",
        501,
        "No keys can be wrapped here",
        "This process has no key encryption key, or not the one of this database. Import where it "
        "is, with `hes meter import`, or give it to this process (docs/operations/meter-keys.md).",
    ),
    ProblemKind(
        "channel_not_found",
        404,
        "No such channel",
        "GET /v1/meters/{meter_id}/channels lists what this meter has.",
    ),
    ProblemKind(
        "entry_not_found",
        404,
        "No such entry",
        "GET /v1/quarantine lists what there is.",
    ),
    ProblemKind(
        "entry_handled",
        409,
        "Not open any more",
        "Somebody has replayed or dropped this entry. GET /v1/quarantine tells who and why.",
    ),
    ProblemKind(
        "plan_not_found",
        404,
        "No such plan",
        "GET /v1/plans lists what there is.",
    ),
    ProblemKind(
        "plan_invalid",
        400,
        "Not a plan that can be",
        "`errors` names each member of the body that was refused and why. Nothing was done.",
    ),
    ProblemKind(
        "plan_exists",
        409,
        "Another plan has this name",
        "Names of plans are unique; choose another, or change the plan that there is.",
    ),
    ProblemKind(
        "plan_disabled",
        409,
        "This plan does not run",
        "Enable it first.",
    ),
    ProblemKind(
        "revision_changed",
        412,
        "Changed by somebody else meanwhile",
        "Nothing was done. Get it again, look at what has changed, and send its `ETag` as "
        "`If-Match`.",
    ),
    ProblemKind(
        "revision_required",
        428,
        "Which revision is meant?",
        "Send the `ETag` of what you have seen as `If-Match`, so that nobody's change is lost.",
    ),
    ProblemKind(
        "origin_not_allowed",
        403,
        "Asked by a foreign page",
        "What changes something is taken from pages of the head-end itself, and from programs, "
        "which send no `Origin`.",
    ),
    ProblemKind(
        "method_not_allowed",
        405,
        "Method not allowed here",
        "`Allow` in the answer lists what the path takes.",
    ),
    ProblemKind(
        "upload_too_slow",
        408,
        "The file did not arrive in time",
        "Nothing was done. Send it again, in parts if the line is slow.",
    ),
    ProblemKind(
        "media_type_unsupported",
        415,
        "Not taken in this form",
        "`Content-Type` says what a body is; /openapi.json lists what each operation takes.",
    ),
    ProblemKind(
        "payload_too_large",
        413,
        "Too much in one request",
        "Send less in one request.",
    ),
    ProblemKind(
        "host_not_allowed",
        421,
        "Not served under this host name",
        "Until people can log in, the head-end answers only under loopback names such as "
        "127.0.0.1 and localhost; this also keeps foreign web pages from reading it.",
    ),
    ProblemKind(
        "request_malformed",
        400,
        "Malformed request",
        "The request could not be read as HTTP or its parts could not be decoded.",
    ),
    ProblemKind(
        "internal_error",
        500,
        "The head-end failed",
        "This is a fault of ours. Report it with the `request_id`; the log has the cause.",
    ),
    ProblemKind(
        "overloaded",
        503,
        "Too many requests at a time",
        "Try again after `Retry-After` seconds, with fewer requests in parallel.",
        retry_after_s=1,
    ),
    ProblemKind(
        "storage_unavailable",
        503,
        "The database cannot be reached",
        "Nothing was done. Try again after `Retry-After` seconds; `hes doctor` says more.",
        retry_after_s=5,
    ),
)

PROBLEMS: Mapping[str, ProblemKind] = {kind.code: kind for kind in _TABLE}

_BY_ERROR: tuple[tuple[type[HesError], str], ...] = (
    (StorageUnavailableError, "storage_unavailable"),
    (UnknownMeterError, "meter_not_found"),
    (KeyUnavailableError, "keys_unavailable"),
    (BadCursorError, "cursor_invalid"),
    (EntryUnknownError, "entry_not_found"),
    (EntryHandledError, "entry_handled"),
    (UnknownPlanError, "plan_not_found"),
    (PlanExistsError, "plan_exists"),
    (PlanDisabledError, "plan_disabled"),
    (PlanChangedError, "revision_changed"),
)

_BY_STATUS: Mapping[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
}


@attrs.frozen
class InvalidField:
    """A part of a request that was refused; `pointer`: `/query/NAME`, `/path/NAME`, `/body/…`."""

    pointer: str
    message: str


@attrs.frozen
class Problem:
    """What went wrong (RFC 9457). `code` never changes its meaning; texts may."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: Sequence[InvalidField] = ()


class ProblemError(Exception):
    """Ends a request with the problem `code`; raised by handlers."""

    def __init__(self, code: str, detail: str = "", errors: Sequence[InvalidField] = ()) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.errors = tuple(errors)


def problem_of_status(status: int) -> ProblemError:
    """The problem for a status that aiohttp itself decided on."""
    fallback = "request_malformed" if 400 <= status < 500 else "internal_error"
    return ProblemError(_BY_STATUS.get(status, fallback))


def problem_of_error(error: HesError) -> ProblemError | None:
    """The problem for an error of a capability, None if it is a fault of ours."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return ProblemError(code)
    return None


def problem_body(error: ProblemError, *, instance: str, request_id: str) -> bytes:
    """The JSON document of a problem."""
    kind = error.kind
    return msgspec.json.encode(
        Problem(
            type=f"/problems/{kind.code}",
            title=kind.title,
            status=kind.status,
            detail=error.detail or kind.advice,
            instance=instance,
            code=kind.code,
            request_id=request_id,
            errors=error.errors,
        )
    )
