"""
The rows of docs/reference/conformance.md, and which tests prove them.

A test says what it proves: `@pytest.mark.conformance("get-list", "client", "server")`, or
`"vector"` where octets of a real meter or of a published example are read. A row or a kind that is
not here is an error. `python -m tests.conformance` writes the document from the marks, which it
reads from the sources of the tests (`tests.conformance_marks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KINDS: Final = ("client", "server", "vector")

ROWS: Final[Mapping[str, Mapping[str, str]]] = {
    "framing": {
        "wrapper-tcp": "wrapper over TCP (IEC 62056-47)",
        "wrapper-udp": "wrapper over UDP",
        "hdlc-parameters": "HDLC: SNRM/UA with negotiated parameters, DISC, DM",
        "hdlc-segmentation": "HDLC: segmented information both ways",
        "hdlc-windows": "HDLC: windows above 1 both ways",
        "hdlc-addresses": "HDLC: addresses of 1, 2 and 4 octets on either side",
        "hdlc-retransmission": "HDLC: retransmission by N(S) and N(R), RNR, poll after a silence",
        "hdlc-resynchronisation": "HDLC: resynchronisation after noise",
        "hdlc-tcp": "HDLC over TCP",
        "hdlc-serial": "HDLC over a serial line",
        "llc": "LLC header",
        "mbus": "wired M-Bus long frames, fragmented",
    },
    "ACSE": {
        "aarq-aare": "AARQ and AARE, accepted and refused",
        "rlrq-rlre": "RLRQ and RLRE",
        "ber-long": "BER with long lengths",
        "contexts": "application contexts with and without ciphering",
        "pre-established": "pre-established associations",
        "release-without-rlrq": "release by closing the link",
        "aare-identity": "identity of a meter that dialled in",
    },
    "xDLMS": {
        "get-normal": "GET",
        "get-blocks": "GET by blocks",
        "get-list": "GET with list",
        "get-list-blocks": "GET with list by blocks",
        "set-normal": "SET",
        "set-blocks": "SET by blocks",
        "set-list": "SET with list",
        "set-list-blocks": "SET with list by blocks",
        "action-normal": "ACTION",
        "action-blocks": "ACTION by blocks, both directions",
        "action-list": "ACTION with list",
        "action-list-blocks": "ACTION with list by blocks",
        "access": "ACCESS",
        "selective-range": "selective access by range, selected columns",
        "selective-entry": "selective access by entry",
        "gbt-windows": "general-block-transfer with windows",
        "gbt-streaming": "general-block-transfer, streaming",
        "gbt-recovery": "general-block-transfer, lost blocks asked for again",
        "data-notification": "data-notification",
        "data-notification-confirmed": "data-notification, confirmed",
        "event-notification": "event-notification",
        "exception-response": "exception-response",
        "confirmed-service-error": "confirmed-service-error",
        "push-during-get": "a push while a GET is pending",
    },
    "data": {
        "integers": "integers, boolean, enum, bcd",
        "strings": "octet-string, visible-string, utf8-string, bit-string",
        "floats": "float32, float64",
        "date-time": "date-time, date, time with wildcards; DST bit",
        "deviation": "deviation, its sign, and 0x8000 unspecified",
        "compact-array": "compact-array",
        "delta": "delta types",
        "nesting": "arrays and structures, depth bounded, no recursion",
    },
    "ciphering": {
        "glo": "glo- service-specific ciphering",
        "ded": "ded- service-specific ciphering with a dedicated key",
        "general-glo": "general-glo-ciphering",
        "general-ded": "general-ded-ciphering",
        "authenticated": "authenticated only",
        "encrypted": "encrypted only",
        "authenticated-encrypted": "authenticated and encrypted",
        "reply-styles": "reply styles that differ from APDU to APDU",
        "policy": "protection enforced against the association's policy",
        "replay": "replayed, rolled back and forged counters refused, nothing changed",
    },
    "authentication": {
        "lowest": "lowest",
        "lls": "LLS",
        "hls-manufacturer": "HLS 2, manufacturer's function",
        "hls-md5": "HLS with MD5",
        "hls-sha1": "HLS with SHA-1",
        "hls-gmac": "HLS with GMAC",
        "hls-sha256": "HLS with SHA-256",
        "lock-out": "a client locked out for a while: AARE rejected-transient",
    },
    "keys": {
        "key-wrap": "AES key wrap (RFC 3394), global_key_transfer",
        "key-change": "another key from the next association on, its counters anew",
        "counter-blocks": "counters reserved in blocks through a port",
        "counter-bootstrap": "an unknown counter asked for by the public client, as a capped hint",
    },
    "quirks": {
        "empty-system-title": "an AARE without a system title, or with an empty one",
        "no-rlrq": "a meter that does not answer RLRQ",
        "counter-reuse": "a GMAC proof with the counter of the APDU that carries it",
        "hls-object": "reply_to_HLS_authentication at another object",
        "counter-object": "the invocation counter at another object",
        "date-time-untagged": "date-time in a data-notification without its length octet",
        "selection-by-entry": "selection by entry only",
        "deviation-refused": "a range with deviation refused, or required",
        "null-means": "null cells that mean previous, or missing",
        "standard-time": "a clock without deviation that stays on standard time all year",
        "push-layouts": "push layouts without an object list",
        "gbt-without-llc": "later general blocks without an LLC header",
        "model-tables": "columns, period or scaler_unit that a meter refuses to tell",
    },
    "profile": {
        "profile-columns": "profile-generic buffers by columns",
    },
}
"""By area: row and what it says."""

NAMES: Final = frozenset(name for rows in ROWS.values() for name in rows)

ONE_SIDED: Final[Mapping[tuple[str, str], str]] = {
    ("counter-blocks", "server"): "a meter keeps its counter itself, no database reserves it",
    (
        "counter-bootstrap",
        "server",
    ): "a meter shows its counter as any other object",
    ("profile-columns", "server"): "a meter encodes its profiles, it does not decode them",
    ("push-layouts", "server"): "layouts are how a client reads what it gets",
    ("date-time-untagged", "server"): "a meter's mistake, which ours do not make",
    ("null-means", "server"): "what a null means is the reader's to know",
    ("gbt-without-llc", "server"): "how a client reads captures of such meters",
    ("model-tables", "server"): "a refusal is a right that a client lacks",
}
"""Which role has nothing to prove in a row, and why."""

OPEN: Final[frozenset[tuple[str, str]]] = frozenset()
"""(row, role) that still lack a test."""

if __name__ == "__main__":
    from tests.conformance_page import write

    write()
