"""
TLS on the inbound port: what it demands, and that handshakes cost no more than they may.

A handshake costs two orders of magnitude more than a push, and whoever begins one need not be a
meter: so many go side by side and no more, and each has a deadline. The identity of a meter is its
system title and a valid tag, with TLS as without; a certificate of ours keeps listeners out, one
of the meter's keeps strangers out.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import attrs
import trio
import trio.abc

from hes.domain.errors import PermanentError


class TlsFilesError(PermanentError):
    """A certificate or key cannot be used; the text names the file, never what is in it."""


@attrs.frozen
class TlsFiles:
    """
    PEM files: our certificate with its chain, its key, and who signs the meters' certificates.

    Without `client_ca` a meter needs no certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """
    What connections are wrapped by: TLS 1.2 or later.

    Raises: TlsFilesError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A meter renegotiates nothing, and who does so again and again costs us dear.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        # A key that wants a password would ask for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise TlsFilesError(
            f"{files.certificate} and {files.key} are no certificate with its key: {_reason(error)}"
        ) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsFilesError(
                f"{files.client_ca} holds no certificates: {_reason(error)}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Handshakes:
    """
    Makes TLS streams of connections.

    Args: context: see `server_context`. at_once: how many handshakes go side by side.
        within_s: for each of them, from its turn on.
    """

    def __init__(self, context: ssl.SSLContext, *, at_once: int, within_s: float) -> None:
        self._context = context
        self._turns = trio.Semaphore(at_once)
        self._within_s = within_s

    async def shake(self, stream: trio.abc.Stream) -> trio.SSLStream[trio.abc.Stream]:
        """
        Wait for a turn, then shake hands; the caller closes the stream.

        Raises: trio.BrokenResourceError: the other side does not speak TLS as we want it.
            trio.TooSlowError.
        """
        wrapped = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
        async with self._turns:
            with trio.fail_after(self._within_s):
                await wrapped.do_handshake()
        return wrapped


def _reason(error: OSError) -> str:
    """What the library has against it; both its errors are kinds of OSError."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unreadable").replace("_", " ").lower()
    return error.strerror or "unreadable"
