"""
Which mirror and keyring this machine's own apt uses for Debian, in both forms that apt reads.

Pure: texts in, a `Mirror` out. No host is ever written down here.

Source: sources.list(5) of apt 2.6, one-line style and deb822 style.
"""

import re
from collections.abc import Iterator, Mapping

import attrs

# What a stanza may say of how its mirror is reached and trusted; it is carried over word by word.
_CARRIED = ("Signed-By", "Trusted", "Check-Valid-Until", "Check-Date", "Allow-Insecure")
_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)$"
)


@attrs.frozen
class Mirror:
    """Where one suite of the machine's distribution comes from."""

    uris: str
    options: Mapping[str, str]

    def stanza(self, suite: str) -> str:
        """Write a deb822 stanza for another suite of the same mirror."""
        fields = {
            "Types": "deb",
            "URIs": self.uris,
            "Suites": suite,
            "Components": "main",
            **self.options,
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items())


def find_mirror(
    deb822: Mapping[str, str], one_line: Mapping[str, str], suite: str
) -> Mirror | None:
    """
    Look up who serves a suite.

    Args: deb822, one_line: file name -> text of the machine's sources. suite: e.g. `bookworm`.
    Returns: the first enabled binary source with that suite and the component main.
    """
    for text in deb822.values():
        for stanza in _stanzas(text):
            if stanza.get("Enabled", "yes").strip().lower() in {"no", "false", "0"}:
                continue
            types = stanza.get("Types", "").split()
            suites = stanza.get("Suites", "").split()
            if (
                "deb" in types
                and suite in suites
                and "main" in stanza.get("Components", "").split()
            ):
                options = {name: stanza[name] for name in _CARRIED if name in stanza}
                return Mirror(" ".join(stanza["URIs"].split()), options)
    for text in one_line.values():
        for line in text.splitlines():
            match = _ONE_LINE.match(line.strip())
            if match and match["suite"] == suite and "main" in match["rest"].split("#")[0].split():
                return Mirror(match["uri"], _one_line_options(match["options"] or ""))
    return None


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Split deb822 text into stanzas; continuation lines stay as they are (an inline key)."""
    stanza: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, name = {}, ""
        elif line[0] in " \t":
            if name:
                stanza[name] += "\n" + line
        else:
            name, _, value = line.partition(":")
            name = _proper(name.strip())
            stanza[name] = value.strip()
    if stanza:
        yield stanza


def _one_line_options(options: str) -> dict[str, str]:
    carried: dict[str, str] = {}
    for option in options.split():
        name, _, value = option.partition("=")
        proper = _proper(name)
        if proper in _CARRIED and value:
            carried[proper] = value.replace(",", " ")
    return carried


def _proper(name: str) -> str:
    """`signed-by` as deb822 writes it, `Signed-By`; `URIs` keeps its shape."""
    return (
        "URIs"
        if name.lower() == "uris"
        else "-".join(part.capitalize() for part in name.split("-"))
    )
