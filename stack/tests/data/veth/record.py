#!/usr/bin/env python3
"""What passes between the two ends of a veth of this machine's kernel.

    python3 record.py < frames.txt        (as root)

Reads a script, and prints it with what happened. `#` begins a comment; `ip` and `sysctl` lines are run; `send DEVICE FRAME` sends a frame, in
hexadecimal from the destination MAC address on, from a packet socket; `udp FROM PORT TO PORT TEXT` a datagram from a socket of its own; `wait SECONDS`
lets time pass; `stats DEVICE` asks for the counters. What there was as a result before is passed over. Results: `out DEVICE TYPE FRAME` and `in DEVICE
TYPE FRAME` are what a packet socket of all devices but lo saw, in order; `counted DEVICE rx PACKETS BYTES DROPPED tx PACKETS BYTES DROPPED`; `error`
that a frame was refused, or lost before it left. Zeros stand for identifications of IPv4 and checksums of UDP, which may be left to the device, and for
the checksums over them.
"""
import ctypes
import json
import os
import select
import socket
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
TYPES = ['host', 'broadcast', 'multicast', 'otherhost', 'outgoing']
# Seconds until nothing more comes of a line.
QUIET = 0.08
RESULTS = ('out ', 'in ', 'counted ', 'error')


def masked(frame):
    frame = bytearray(frame)
    if frame[12:14] == b'\x08\x00':
        frame[18:20] = frame[24:26] = bytes(2)
        if frame[23] == socket.IPPROTO_UDP:
            frame[40:42] = bytes(2)
        # An error quotes a header.
        if frame[23] == socket.IPPROTO_ICMP and frame[34] in (3, 11):
            frame[36:38] = frame[46:48] = frame[52:54] = bytes(2)
    return frame.hex()


def seen(tap):
    while select.select([tap], [], [], QUIET)[0]:
        frame, (dev, _, kind, _, _) = tap.recvfrom(65535)
        if dev != 'lo':
            way = 'out' if kind == socket.PACKET_OUTGOING else 'in'
            print(way, dev, TYPES[kind], masked(frame))


def counted(dev):
    link = subprocess.run(['ip', '-s', '-j', 'link', 'show', dev], capture_output=True, check=True)
    stats = json.loads(link.stdout)[0]['stats64']
    numbers = [' '.join([way] + [str(stats[way][n]) for n in ('packets', 'bytes', 'dropped')]) for way in ('rx', 'tx')]
    print('counted', dev, *numbers)


def main():
    assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    for line in sys.stdin.read().splitlines():
        if line.startswith(RESULTS):
            continue
        print(line)
        words = line.split()
        if not words or line.startswith('#'):
            continue
        if words[0] in ('ip', 'sysctl'):
            subprocess.run(words, check=True)
        elif words[0] == 'wait':
            time.sleep(float(words[1]))
        elif words[0] == 'stats':
            counted(words[1])
        elif words[0] == 'udp':
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind((words[1], int(words[2])))
                udp.sendto(words[5].encode(), (words[3], int(words[4])))
        elif words[0] == 'send':
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
                try:
                    sender.bind((words[1], 0))
                    sender.send(bytes.fromhex(words[2]))
                except OSError:
                    print('error')
        seen(tap)


main()
