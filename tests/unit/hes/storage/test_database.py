"""The URL of a database: what is none is refused before any driver can quote it."""

from __future__ import annotations

import logging
import traceback

import pytest

from hes.domain.errors import HesError
from hes.storage.database import Database, DatabaseUrlError


@pytest.mark.parametrize(
    "url",
    [
        "postgres:/hes:S3cretPw@127.0.0.1/x",
        "postgresql://hes:S3cretPw@127.0.0.1:1x/x",
        "postgresql://hes:S3cretPw@127.0.0.1:1/x?foo=1",
        "postgresql://hes:S3cret%zzPw@127.0.0.1:1/x",
        "postgresql://hes:S3cret%00@127.0.0.1:1/x",
        "postgresql://hes:S3cret/Pw@127.0.0.1:1/x",
        "postgresql://hes:S3cret Pw@127.0.0.1:1/x",
        "postgresql://hes:S3@cretPw@127.0.0.1/x",
        "postgresql://hes:S3cret?Pw@127.0.0.1/x",
        "postgresql://hes:S3cret#Pw@127.0.0.1/x",
        "host=127.0.0.1 password=S3cret",
        "S3cret",
        "",
    ],
)
def test_a_url_that_is_none_is_not_quoted(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(HesError) as caught:
        Database(url, wait_s=0.2).connection().__enter__()
    assert isinstance(caught.value, DatabaseUrlError)
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    for part in ("S3", "cret", "Pw@"):
        # The traceback quotes the line of this test, which names the variable only.
        assert part not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h/x",
        "postgres://u:p%40%2F@db.example:5432/x?sslmode=require",
        "postgresql:///x?host=/tmp/s&port=5432",
        "postgresql://u@[::1]:5432/x",
        "postgresql://u@a:1,b:2/x?target_session_attrs=read-write",
        "postgresql://%2Ftmp%2Fs/x",
        "postgresql://127.0.0.1",
    ],
)
def test_urls_of_every_kind_are_taken(url: str) -> None:
    Database(url).close()
