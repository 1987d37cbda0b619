"""
A Mosquitto broker (MQTT 5) of our own on 127.0.0.1.

Its program is a Debian package that root installs; nothing here fetches it.
"""

import base64
import hashlib
import secrets
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs

from hes.services import ports
from hes.services.embedded import Embedded, own_folder, write_private

NAME = "MQTT broker"
USER = "hes"
_PROBE_S = 2.0
_PBKDF2_ROUNDS = 101  # mosquitto_passwd's own; the password is 192 random bits
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_CONNACK, _ACCEPTED = 0x20, 0x00


@attrs.frozen
class MosquittoProgram:
    """An installed broker program."""

    path: Path
    origin: str


def answers(url: str) -> bool:
    """Tell whether an MQTT 5 broker accepts a connection at this URL within two seconds."""
    parts = urlsplit(url)
    address = (parts.hostname or ports.HOST, parts.port or _PORTS.get(parts.scheme, 1883))
    packet = _connect_packet(unquote(parts.username or ""), unquote(parts.password or ""))
    try:
        with socket.create_connection(address, timeout=_PROBE_S) as plain:
            connection = plain
            if parts.scheme == "mqtts":
                connection = ssl.create_default_context().wrap_socket(
                    plain, server_hostname=address[0]
                )
            with connection:
                connection.sendall(packet)
                answer = connection.recv(64)
    except OSError:
        return False
    # fixed header (type, length), acknowledge flags, reason code: MQTT 5.0, 3.2
    return len(answer) >= 4 and answer[0] == _CONNACK and answer[3] == _ACCEPTED


def _connect_packet(user: str, password: str) -> bytes:
    """Write CONNECT with a clean start and a client id of the broker's choice (MQTT 5.0, 3.1)."""
    flags = 0x02 | (0x80 if user else 0) | (0x40 if password else 0)
    header = _field(b"MQTT") + bytes([5, flags, 0, 10, 0])  # version, flags, keep alive, properties
    payload = _field(b"") + b"".join(_field(text.encode()) for text in (user, password) if text)
    body = header + payload
    length, octets = len(body), bytearray([0x10])
    while True:
        length, low = divmod(length, 128)
        octets.append(low | (0x80 if length else 0))
        if not length:
            return bytes(octets) + body


def _field(octets: bytes) -> bytes:
    return len(octets).to_bytes(2, "big") + octets


def _password_line(user: str, password: str) -> str:
    """Write a line of mosquitto's password file: `$7$rounds$salt$PBKDF2-HMAC-SHA512`."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PBKDF2_ROUNDS)
    encoded = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{user}:$7${_PBKDF2_ROUNDS}${'$'.join(encoded)}\n"


class Mosquitto(Embedded):
    """One broker; port, password and persistent sessions are kept over a restart."""

    name = NAME

    def __init__(self, folder: Path, program: MosquittoProgram, *, port: int | None = None) -> None:
        """Args: folder: everything of this broker is below it. program: what to run."""
        super().__init__(folder, root=program.path.parent, port=port)
        self._program = program

    @property
    def origin(self) -> str:
        return self._program.origin

    @property
    def url(self) -> str:
        """`mqtt://` URL with user and password; known once it has been started."""
        return f"mqtt://{USER}:{self._passwords()[USER]}@{self._address()}"

    @property
    def _data(self) -> Path:
        return self._folder / "mosquitto"

    @property
    def _settings(self) -> Path:
        return self._data / "mosquitto.conf"

    def _prepare(self) -> None:
        own_folder(self._data, self._account)
        password_file = self._data / "passwords"
        write_private(
            password_file, _password_line(USER, self._passwords(USER)[USER]), self._account
        )

    def _command(self, port: int) -> Sequence[str]:
        settings = {
            "listener": f"{port} {ports.HOST}",
            "allow_anonymous": "false",
            "password_file": str(self._data / "passwords"),
            "persistence": "true",
            "persistence_location": f"{self._data}/",
            "log_dest": "stderr",
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        write_private(self._settings, text, self._account)
        return [str(self._program.path), "-c", str(self._settings)]

    def _answers(self) -> bool:
        return answers(self.url)
