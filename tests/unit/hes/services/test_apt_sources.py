"""Both forms of apt's sources, as Debian 12 and 13 and hand-written ones have them."""

from hes.services.apt_sources import Mirror, find_mirror

_DEB822 = """\
# See sources.list(5)
Types: deb deb-src
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_deb822_gives_uri_and_keyring() -> None:
    mirror = find_mirror({"debian.sources": _DEB822}, {}, "bookworm")
    assert mirror is not None
    assert mirror.stanza("trixie") == (
        "Types: deb\n"
        "URIs: https://mirror.example/debian\n"
        "Suites: trixie\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_an_inline_key_is_carried_over() -> None:
    mirror = find_mirror({"debian.sources": _DEB822}, {}, "bookworm-security")
    assert mirror is not None
    assert mirror.stanza("x").endswith(
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
        " -----END PGP PUBLIC KEY BLOCK-----\n"
    )


def test_field_names_are_case_insensitive() -> None:
    text = "types: deb\nuris: https://m.example/d\nsuites: trixie\ncomponents: main\n"
    assert find_mirror({"a": text}, {}, "trixie") == Mirror("https://m.example/d", {})


def test_disabled_source_and_wrong_component_do_not_count() -> None:
    disabled = _DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb")
    assert find_mirror({"a": disabled}, {}, "bookworm") is None
    other = _DEB822.replace("main contrib", "contrib")
    assert find_mirror({"a": other}, {}, "bookworm") is None
    source_only = _DEB822.replace("deb deb-src", "deb-src")
    assert find_mirror({"a": source_only}, {}, "bookworm") is None


def test_one_line_form_with_and_without_options() -> None:
    bare = "# deb https://no.example x main\ndeb https://m.example/debian bookworm main contrib\n"
    assert find_mirror({}, {"sources.list": bare}, "bookworm") == Mirror(
        "https://m.example/debian", {}
    )
    signed = "deb [arch=x signed-by=/a.gpg,/b.gpg trusted=yes] https://m.example/d bookworm main"
    assert find_mirror({}, {"sources.list": signed}, "bookworm") == Mirror(
        "https://m.example/d", {"Signed-By": "/a.gpg /b.gpg", "Trusted": "yes"}
    )


def test_unknown_suite_has_no_mirror() -> None:
    assert find_mirror({"a": _DEB822}, {"b": "deb http://m.example d main"}, "noble") is None
