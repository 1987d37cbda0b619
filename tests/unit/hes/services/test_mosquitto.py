"""The MQTT probe's packet, octet by octet, and the password file's line."""

import base64
import hashlib
import socket
import threading

from hes.services import mosquitto


def test_connect_packet_with_credentials() -> None:
    assert mosquitto._connect_packet("u", "pw") == bytes.fromhex(
        "10 14 0004 4d515454 05 c2 000a 00 0000 0001 75 0002 7077"
    )


def test_connect_packet_without_credentials() -> None:
    assert mosquitto._connect_packet("", "") == bytes.fromhex(
        "10 0d 0004 4d515454 05 02 000a 00 0000"
    )


def test_long_password_takes_two_octets_of_length() -> None:
    packet = mosquitto._connect_packet("u", "p" * 200)
    assert packet[1] & 0x80
    assert (packet[1] & 0x7F) + packet[2] * 128 == len(packet) - 3


def test_password_line_verifies() -> None:
    user, _, rest = mosquitto._password_line("hes", "secret").strip().partition(":")
    assert user == "hes"
    _, kind, rounds, salt, digest = rest.split("$")
    assert kind == "7"
    again = hashlib.pbkdf2_hmac("sha512", b"secret", base64.b64decode(salt), int(rounds))
    assert base64.b64decode(digest) == again


def test_probe_reads_the_reason_code() -> None:
    assert _probe(bytes.fromhex("20 03 00 00 00"))
    assert not _probe(bytes.fromhex("20 03 00 86 00"))  # bad user name or password
    assert not _probe(b"HTTP/1.1 400")
    assert not _probe(b"")
    assert not mosquitto.answers("mqtt://127.0.0.1:1")


def _probe(answer: bytes) -> bool:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        said = mosquitto.answers(f"mqtt://127.0.0.1:{listener.getsockname()[1]}")
        server.join()
        return said
