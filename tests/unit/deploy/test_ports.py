"""Free ports and own addresses."""

import socket

import pytest

from deploy.stack.ports import SHARE, address_towards, free_port, is_free, share


def test_no_port_is_given_twice() -> None:
    given = [port for first in (free_port(4) for _ in range(50)) for port in range(first, first + 4)]
    assert len(set(given)) == 200


def test_processes_side_by_side_have_no_port_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for number in range(3):
        monkeypatch.setenv(SHARE, f"{number}/3")
        shares.append(share())
        assert free_port(2) in shares[-1]
        assert share().start % 2 == 0
    monkeypatch.delenv(SHARE)
    assert len({port for ports in shares for port in ports}) == sum(len(ports) for ports in shares)
    assert set(share()) >= {port for ports in shares for port in ports}


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_for_tcp_or_udp_is_not_free(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as user:
        user.bind(("127.0.0.1", 0))
        assert not is_free(user.getsockname()[1])


@pytest.mark.parametrize("uri", ["sip:127.0.0.1:5070", "sip:127.0.0.1", "sip:localhost:5070;transport=udp"])
def test_the_way_to_this_machine_is_loopback(uri: str) -> None:
    assert address_towards(uri) == "127.0.0.1"


def test_an_unknown_host_has_no_way() -> None:
    with pytest.raises(OSError, match=r"."):
        address_towards("sip:no-such-host.invalid:5060")
