"""Bad settings stop the start and name the setting and its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from hes.settings import Settings, SettingsError, load


def test_defaults_are_what_stands_in_the_classes() -> None:
    assert load({}, ()).settings == Settings()


def test_environment_wins_over_files_and_later_files_over_earlier(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('data = "one"\n[api]\nport = 1\nhost = "127.0.0.2"\n')
    second.write_text('data = "two"\n[api]\nport = 2\n')
    environ = {"HES_CONFIG": str(second), "HES_API_PORT": "3", "PATH": "/bin"}
    loaded = load(environ, (first,))
    assert loaded.settings.data == "two"
    assert loaded.settings.api.port == 3
    assert loaded.settings.api.host == "127.0.0.2"
    assert loaded.origins["api.port"] == "HES_API_PORT"
    assert loaded.origins["api.host"] == str(first)
    assert loaded.origins["data"] == str(second)


def test_lists_come_from_toml_and_from_commas(tmp_path: Path) -> None:
    file = tmp_path / "hes.toml"
    file.write_text('[collector]\nallowed_networks = ["10.0.0.0/8"]\n')
    assert load({}, (file,)).settings.collector.allowed_networks == ("10.0.0.0/8",)
    environ = {"HES_COLLECTOR_ALLOWED_NETWORKS": "10.1.0.0/16, fd00::/8"}
    networks = load(environ, (file,)).settings.collector.allowed_networks
    assert networks == ("10.1.0.0/16", "fd00::/8")


@pytest.mark.parametrize(
    ("environ", "setting", "origin"),
    [
        ({"HES_API_PORT": "eighty"}, "api.port", "HES_API_PORT"),
        ({"HES_API_PORT": "70000"}, "api.port", "HES_API_PORT"),
        ({"HES_COLLECTOR_LEASE_S": "1"}, "collector.lease_s", "HES_COLLECTOR_LEASE_S"),
        ({"HES_COLLECTOR_SESSION_S": "inf"}, "collector.session_s", "HES_COLLECTOR_SESSION_S"),
        ({"HES_COLLECTOR_SESSION_S": "9"}, "collector.session_s", "HES_COLLECTOR_SESSION_S"),
        (
            {"HES_DATABASE_MAX_CONNECTIONS": "3"},
            "database.max_connections",
            "HES_DATABASE_MAX_CONNECTIONS",
        ),
        ({"HES_API_PROT": "1"}, "HES_API_PROT", "environment"),
        ({"HES_LOG_LEVEL": "loud"}, "log.level", "HES_LOG_LEVEL"),
        (
            {"HES_COLLECTOR_CONNECT_S": "0"},
            "collector.connect_s",
            "HES_COLLECTOR_CONNECT_S",
        ),
        (
            {"HES_COLLECTOR_ALLOWED_NETWORKS": "10.0.0.1/8"},
            "collector.allowed_networks",
            "HES_COLLECTOR_ALLOWED_NETWORKS",
        ),
        (
            {"HES_COLLECTOR_SYSTEM_TITLE": "HES"},
            "collector.system_title",
            "HES_COLLECTOR_SYSTEM_TITLE",
        ),
        ({"HES_DATABASE_URL_FILE": "/nowhere"}, "database.url", "HES_DATABASE_URL_FILE"),
        (
            {"HES_COLLECTOR_ALLOWED_PORTS": "4059,70000"},
            "collector.allowed_ports",
            "HES_COLLECTOR_ALLOWED_PORTS",
        ),
        (
            {"HES_COLLECTOR_TLS_CERTIFICATE": "a.pem"},
            "collector.tls_certificate",
            "HES_COLLECTOR_TLS_CERTIFICATE",
        ),
        (
            {"HES_COLLECTOR_TLS_CLIENT_CA": "ca.pem"},
            "collector.tls_client_ca",
            "HES_COLLECTOR_TLS_CLIENT_CA",
        ),
    ],
)
def test_a_bad_variable_is_named(environ: dict[str, str], setting: str, origin: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ, ())
    assert caught.value.setting == setting
    assert caught.value.origin == origin


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("[api]\nprot = 1\n", "api.prot"),
        ("[api]\nport = [1]\n", "api.port"),
        ("[nothing]\nx = 1\n", "nothing.x"),
        ("api = 3\n", "api"),
        ("not toml", "HES_CONFIG"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, setting: str) -> None:
    file = tmp_path / "hes.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load({}, (file,))
    assert caught.value.setting == setting
    assert str(file) in str(caught.value)


def test_secrets_come_from_files_and_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://hes:geheim@127.0.0.1/hes\n")
    loaded = load({"HES_DATABASE_URL_FILE": str(file)}, ())
    assert loaded.settings.database.url == "postgresql://hes:geheim@127.0.0.1/hes"
    shown = {option.name: option for option in loaded.options()}
    assert shown["database.url"].value == "********"
    assert shown["database.url"].origin == "HES_DATABASE_URL_FILE"
    assert shown["redis.url"].value == ""


def test_the_template_names_only_settings_that_exist_with_their_defaults(tmp_path: Path) -> None:
    """Uncommented, `config/hes.toml` is the defaults again."""
    lines = Path("config/hes.toml").read_text(encoding="utf-8").splitlines()
    body = [
        line for line in lines if line.startswith("[") or (line.startswith("# ") and " = " in line)
    ]
    text = "\n".join(line.removeprefix("# ") for line in body)
    file = tmp_path / "hes.toml"
    file.write_text(text.replace("postgresql://hes@db.example/hes", ""))
    assert load({}, (file,)).settings == Settings()
