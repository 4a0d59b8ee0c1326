#!/usr/bin/env python3
"""What the kernel of this machine does with frames: the drop reasons, and what it sends.

    python3 record.py < ipv4.txt        (as root)

Reads cases, and prints them with what happened. A case is some lines: `#` and what it is, `in DEVICE FRAME` (several, if they belong together),
then the result: `drop REASON` and `out DEVICE FRAME`, in order. Frames are in hexadecimal, from the destination MAC address on. What was there as
a result before is passed over. Lines that begin with `;` say something about the file.

Each case has a network namespace of its own, with what SETUP says, and veth pairs e1–p1 and e2–p2: frames are sent and seen at p1 and p2. The
drop reasons are those of the tracepoint skb:kfree_skb; what comes out at p1 and p2 ends there at once, by nft. A host chooses identifications
of IPv4 as it likes: they are 0 here, and so are the checksum over them and the time of day in timestamps.
"""
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time

CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_CSUMNOTREADY = 263, 8, 8
ETH_P_ALL = 3
# Seconds until nothing more comes of a frame.
QUIET = 0.06
# Lines of `ip -batch`.
SETUP = """
link add e1 address 02:00:00:00:01:01 type veth peer name p1
link add e2 address 02:00:00:00:02:01 type veth peer name p2
"""
# Those that this project's side gets, too.
CONFIGURED = """
link set lo up
link set e1 up
link set e2 up
addr add 10.0.1.1/24 dev e1
addr add 10.0.2.1/24 dev e2
neigh replace 10.0.1.2 lladdr 02:00:00:00:00:11 dev e1 nud permanent
neigh replace 10.0.2.2 lladdr 02:00:00:00:00:12 dev e2 nud permanent
addr add 2001:db8:1::1/64 dev e1 nodad
addr add 2001:db8:2::1/64 dev e2 nodad
neigh replace 2001:db8:1::2 lladdr 02:00:00:00:00:11 dev e1 nud permanent
neigh replace 2001:db8:2::2 lladdr 02:00:00:00:00:12 dev e2 nud permanent
"""
SYSCTLS = """
net.ipv4.ip_forward=1
net.ipv4.icmp_ratelimit=0
net.ipv4.conf.all.rp_filter=0
net.ipv4.conf.default.rp_filter=0
net.ipv6.conf.all.forwarding=1
net.ipv6.conf.default.accept_dad=0
net.ipv6.conf.all.accept_dad=0
net.ipv6.icmp.ratelimit=0
net.ipv6.auto_flowlabels=0
"""

libc = ctypes.CDLL(None, use_errno=True)


def run(words, text):
    subprocess.run(words, input=text, text=True, check=True)


def sysctl(line):
    key, value = line.split('=')
    with open('/proc/sys/' + key.replace('.', '/'), 'w') as file:
        file.write(value)


class Trace:
    """An instance of the tracer of its own, that sees the softirqs in this process only."""

    def __init__(self):
        self.mounted = tempfile.mkdtemp()
        run(['mount', '-t', 'tracefs', 'tracefs', self.mounted], '')
        self.path = f'{self.mounted}/instances/reasons-{os.getpid()}'
        os.mkdir(self.path)

    def write(self, name, value):
        with open(f'{self.path}/{name}', 'w') as file:
            file.write(value)

    def start(self):
        self.write('set_event_pid', str(os.getpid()))
        self.write('trace', '')
        self.write('events/skb/kfree_skb/enable', '1')

    def stop(self):
        self.write('events/skb/kfree_skb/enable', '0')
        with open(f'{self.path}/trace') as file:
            lines = [line for line in file if 'kfree_skb:' in line]
        reasons = [line.split('reason: ')[1].split()[0] for line in lines]
        # The end of what came out.
        return [reason for reason in reasons if reason != 'NETFILTER_DROP']

    def close(self):
        os.rmdir(self.path)
        run(['umount', self.mounted], '')
        os.rmdir(self.mounted)


def set_up():
    assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    for line in SYSCTLS.split():
        sysctl(line)
    run(['ip', '-batch', '-'], SETUP)
    for dev in 'p1', 'p2':
        sysctl(f'net.ipv6.conf.{dev}.disable_ipv6=1')
    run(['ip', '-batch', '-'], 'link set p1 up\nlink set p2 up\n' + CONFIGURED)
    run(['nft', '-f', '-'], 'table netdev end { chain end { type filter hook ingress devices = { p1, p2 } priority 0; policy drop; }; }')
    tentative = 0x40
    while any(int(line.split()[4], 16) & tentative for line in open('/proc/net/if_inet6')):
        time.sleep(0.005)
    sockets = {}
    for dev in 'p1', 'p2':
        sockets['e' + dev[1]] = tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.bind((dev, 0))
        tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        tap.setblocking(False)
    time.sleep(0.02)
    return sockets


def received(tap):
    """Frames that came out of the device at the other end."""
    while True:
        try:
            frame, ancillary, _, address = tap.recvmsg(70000, 256)
        except BlockingIOError:
            return
        if address[2] == socket.PACKET_OUTGOING or is_mld(frame):
            continue
        for level, what, value in ancillary:
            if (level, what) == (SOL_PACKET, PACKET_AUXDATA) and value[0] & TP_STATUS_CSUMNOTREADY:
                frame = summed(bytearray(frame))
        yield bytes(masked(bytearray(frame)))


def summed(frame):
    """With the checksum that the device was to finish: that of TCP over IPv6."""
    tcp = 54
    assert frame[12:14] == b'\x86\xdd' and frame[20] == socket.IPPROTO_TCP, frame.hex()
    total = sum(int.from_bytes(frame[at:at + 2], 'big') for at in range(tcp, len(frame), 2))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    frame[tcp + 16:tcp + 18] = (0xffff - total).to_bytes(2, 'big')
    return frame


def is_mld(frame):
    """A report of groups, which nobody asked for."""
    return frame[12:14] == b'\x86\xdd' and frame[20] == 0 and frame[54:55] == b'\x3a' and frame[62:63] == b'\x8f'


def masked(frame):
    if frame[12:14] != b'\x08\x00':
        return frame
    frame[18:20] = frame[24:26] = b'\0\0'
    now = int(time.time() * 1000) % (24 * 60 * 60 * 1000)
    for at in range(34, len(frame) - 3):
        then = int.from_bytes(frame[at:at + 4], 'big')
        if now - 500 <= then <= now:
            frame[at:at + 4] = bytes(4)
            # The checksum of ICMP is over it.
            if frame[23] == socket.IPPROTO_ICMP:
                icmp = 14 + (frame[14] & 15) * 4
                frame[icmp + 2:icmp + 4] = b'\0\0'
    return frame


def case(trace, lines):
    """One case in a namespace of its own; returns the result's lines."""
    taps = set_up()
    time.sleep(0.01)
    for tap in taps.values():
        list(received(tap))
    trace.start()
    for line in lines:
        _, dev, frame = line.split()
        taps[dev].send(bytes.fromhex(frame))
    time.sleep(QUIET)
    result = [f'drop {reason}' for reason in trace.stop()]
    for dev, tap in taps.items():
        result += [f'out {dev} {frame.hex()}' for frame in received(tap)]
    return result


def main():
    cases, notes = [], []
    for line in sys.stdin.read().splitlines():
        if line.startswith('#'):
            cases.append((line, []))
        elif line.startswith('in '):
            cases[-1][1].append(line)
        elif line.startswith(';'):
            notes.append(line)
    for note in notes:
        print(note)
    trace = Trace()
    try:
        for name, lines in cases:
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    print('\n'.join([name, *lines, *case(trace, lines)]))
                    sys.stdout.flush()
                    code = 0
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            if status != 0:
                sys.exit(f'{name}: failed')
    finally:
        trace.close()


main()
