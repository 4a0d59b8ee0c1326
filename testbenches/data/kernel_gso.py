#!/usr/bin/env python3
"""Records what the running kernel's GSO makes of super-frames: kernel_gso.txt.

A super-frame with its virtio_net_hdr is written into a TAP device (IFF_VNET_HDR), an nft rule sends
it to a second one that offers no offload, so the kernel segments it in software, and the segments are
read there. Needs root; everything lives in a network namespace of its own, with no way out.

Usage: kernel_gso.py > kernel_gso.txt
"""
import fcntl
import os
import platform
import random
import select
import struct
import subprocess
import sys

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TCPV4, TCPV6, UDP_L4, ECN, NEEDS_CSUM = 1, 4, 5, 0x80, 1


def tap(name, flags):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
    fcntl.ioctl(fd, TUNSETOFFLOAD, 0)
    subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"], check=False)
    subprocess.run(["ip", "link", "set", name, "mtu", "9000", "up"], check=True)
    return fd


def ones(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) & 1 else 0
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def super_frame(rng, v6, tcp, tags, ip_options, extensions, tcp_options, flags, payload):
    frame = bytes.fromhex("0200000000010200000000ff")
    frame += b"".join(struct.pack("!HH", 0x8100, 100 + t) for t in range(tags))
    transport = 20 + 4 * tcp_options if tcp else 8
    protocol = 6 if tcp else 17
    length = transport + payload
    if v6:
        source, destination = (b"\xfd" + rng.randbytes(15) for _ in range(2))
        rest = b""
        kinds = extensions + [protocol]
        for kind, following in zip(kinds, kinds[1:]):
            units = rng.randrange(3)
            # PadN (RFC 8200 4.2)
            rest += bytes([following, units, 1, 4 + 8 * units]) + bytes(4 + 8 * units)
        frame += struct.pack("!HIHBB", 0x86DD, 0x60012345, len(rest) + length, kinds[0], 64)
        frame += source + destination + rest
    else:
        source, destination = (bytes([10, 1, rng.randrange(256), 1 + rng.randrange(250)]) for _ in range(2))
        header = struct.pack("!BBHHHBBH", 0x45 + ip_options, 0, 20 + 4 * ip_options + length,
                             rng.choice([rng.randrange(65536), 0xFFFE]), 0x4000, 64, protocol, 0)
        header += source + destination + b"\x01" * (4 * ip_options)
        header = header[:10] + struct.pack("!H", 0xFFFF - ones(header)) + header[12:]
        frame += b"\x08\x00" + header
    start = len(frame)
    pseudo = ones(source + destination + struct.pack("!II", length, protocol))
    ports = rng.randbytes(4)
    if tcp:
        seq = rng.choice([rng.randrange(1 << 32), 0xFFFFFF00])
        options = b"\x01\x01\x08\x0a" + rng.randbytes(8) if tcp_options == 3 else b"\x01" * (4 * tcp_options)
        frame += ports + struct.pack("!IIBBHHH", seq, rng.randrange(1 << 32), (5 + tcp_options) << 4,
                                     flags, 501, pseudo, 0) + options
    else:
        frame += ports + struct.pack("!HH", length, pseudo)
    headers = len(frame)
    return frame + rng.randbytes(payload), start, headers


def main():
    source = tap("tap0", IFF_VNET_HDR)
    sink = tap("tap1", 0)
    rule = "table netdev t { chain c { type filter hook ingress device \"tap0\" priority 0; fwd to \"tap1\"; }; }"
    subprocess.run(["nft", rule], check=True)
    while select.select([sink], [], [], 0.3)[0]:
        os.read(sink, 70000)

    rng = random.Random(1)
    print(f"# kernel_gso.py on Linux {platform.release().split('-')[0]}: virtio_net_hdr and super-frame, then its segments.")
    forms = []
    for tcp, v6 in ((True, False), (True, True), (False, False), (False, True)):
        for tags in (0, 1):
            for deep in (False, True):
                forms.append((v6, tcp, tags, 10 if deep and not v6 else 0,
                              [0, 60] if deep and v6 else [], (10 if deep else 3) if tcp else 0))
    for number, (v6, tcp, tags, ip_options, extensions, tcp_options) in enumerate(forms * 2):
        # FIN, PSH, ACK, CWR in turn.
        flags = [0x10, 0x19, 0x98, 0x99, 0xD8, 0x18][number % 6]
        size = rng.choice([100, 101, 128, 333])
        payload = rng.choice([size * 3, size * 3 + 1, size * 2 - 1, size * 4 - 7])
        frame, start, headers = super_frame(rng, v6, tcp, tags, ip_options, extensions, tcp_options, flags, payload)
        kind = (TCPV6 if v6 else TCPV4) | (ECN if flags & 0x80 else 0) if tcp else UDP_L4
        hdr = struct.pack("<BBHHHH", NEEDS_CSUM, kind, headers, size, start, 16 if tcp else 6)
        os.write(source, hdr + frame)
        segments = []
        while select.select([sink], [], [], 0.2)[0]:
            segments.append(os.read(sink, 70000))
        if not segments:
            print(f"# nothing came of: v6 {v6} tcp {tcp} tags {tags} extensions {extensions}")
            continue
        print("super", hdr.hex(), frame.hex())
        for segment in segments:
            print("segment", segment.hex())


if os.environ.get("KERNEL_GSO_NETNS"):
    main()
else:
    command = ["unshare", "--net", sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, check=False, env={**os.environ, "KERNEL_GSO_NETNS": "1"}).returncode)
