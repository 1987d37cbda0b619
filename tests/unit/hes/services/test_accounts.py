"""As whom a server runs."""

from pathlib import Path

import pytest

from hes.services import accounts
from hes.services.accounts import Account

_SERVER = Account("postgres", 4242, 4243)


def test_ordinary_user_stays_who_he_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hes.services.accounts.os.geteuid", lambda: 1000)
    assert accounts.service_account(tmp_path) is None


def test_closed_folder_needs_the_capability(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert accounts.needs_capability(_SERVER, [closed / "data"])


def test_capability_that_passes_closed_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "capability", lambda: "dac_read_search")
    monkeypatch.setattr(accounts, "needs_capability", lambda _account, _paths: True)
    arguments = accounts.setpriv_arguments(_SERVER, [tmp_path])
    assert arguments[:3] == ["--reuid=4242", "--regid=4243", "--clear-groups"]
    assert "--ambient-caps=+dac_read_search" in arguments
    monkeypatch.setattr(accounts, "needs_capability", lambda _account, _paths: False)
    assert "--inh-caps=-all" in accounts.setpriv_arguments(_SERVER, [tmp_path])


@pytest.mark.parametrize(
    ("permitted", "expected"),
    [("000001ffffffffff", "dac_read_search"), ("00000000a80425fb", "dac_override")],
)
def test_capability_held(permitted: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _self: f"Name:\tx\nCapPrm:\t{permitted}\n")
    assert accounts.capability() == expected
