"""The kernel's side of tests/sockets: opens sockets, injects and sends packets as its lines say, and prints what each socket sees.

Runs in a network namespace that has `eth_c`, the host's device, and `to_c`, the other end of its cable.
"""

import errno
import select
import socket
import struct
import subprocess
import sys
import time

SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 0x10
SOL_RAW, ICMP_FILTER = 255, 1
ICMPV6_FILTER, IPV6_CHECKSUM = 1, 7
PKTTYPE = ["host", "broadcast", "multicast", "otherhost", "outgoing"]

MLD_ROUTERS = socket.inet_pton(socket.AF_INET6, "ff02::16")

sockets = {}
cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
cable.bind(("to_c", 0))


def packet_line(name, sock):
    data, ancillary, _, (dev, protocol, kind, hatype, addr) = sock.recvmsg(65536, 256)
    vlan = "-"
    for level, what, value in ancillary:
        if (level, what) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value)
            if status & TP_STATUS_VLAN_VALID:
                vlan = f"{tpid:04x}:{tci:04x}"
    line = f"{name} {dev} {PKTTYPE[kind]} {protocol:04x} {hatype} {vlan} {addr.hex()} {data.hex()}"
    # What the kernel says of its groups whenever it likes is no answer to anything here.
    return None if dev == "to_c" or MLD_ROUTERS in data else line


def drain():
    # Everything here happens in the softirq that the sending causes, which a busy machine may put off.
    time.sleep(0.05)
    for name, (kind, sock) in sockets.items():
        while select.select([sock], [], [], 0)[0]:
            if kind == "packet":
                line = packet_line(name, sock)
            else:
                data, source = sock.recvfrom(65536)
                line = f"{name} {source[0]} {data.hex()}"
            if line:
                print(line)


def open_socket(name, kind, *rest):
    if kind == "packet":
        what, protocol, dev = rest
        type = socket.SOCK_RAW if what == "raw" else socket.SOCK_DGRAM
        protocol = int(protocol, 16)
        sock = socket.socket(socket.AF_PACKET, type, socket.htons(protocol))
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        if dev != "-":
            sock.bind((dev, protocol))
    else:
        family = socket.AF_INET if kind == "raw4" else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_RAW, int(rest[0]))
    sockets[name] = (kind, sock)


def run(words):
    verb, *rest = words
    if verb == "open":
        return open_socket(*rest)
    if verb == "nft":
        return subprocess.run(["nft", " ".join(rest)], check=True)
    name, *rest = rest
    kind, sock = sockets.get(name, (None, None))
    if verb == "filter" and kind == "raw4":
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", int(rest[0], 16)))
    elif verb == "filter":
        pass_only = [0xFFFFFFFF] * 8
        pass_only[int(rest[0]) // 32] &= ~(1 << int(rest[0]) % 32)
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, struct.pack("=8I", *pass_only))
    elif verb == "checksum":
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, int(rest[0]))
    elif verb == "bind":
        sock.bind((rest[0], 0))
    elif verb == "connect":
        sock.connect((rest[0], 0))
    elif verb == "close":
        sock.close()
        del sockets[name]
    elif verb == "in":
        cable.send(bytes.fromhex(name))
    elif verb == "out" and kind == "packet":
        dev, protocol, addr, data = rest
        try:
            sock.sendto(bytes.fromhex(data), (dev, int(protocol, 16), 0, 0, bytes.fromhex(addr)))
        except OSError as error:
            # The queue lost it.
            assert error.errno == errno.ENOBUFS, error
    elif verb == "out":
        sock.sendto(bytes.fromhex(rest[1]), (rest[0], 0))
    drain()


for line in sys.stdin:
    print("#", line.strip()[:60])
    run(line.split())
