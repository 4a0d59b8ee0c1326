//! Frames to the host's eth0: of one round, each of a flow of its own.

use crate::common::{MAC, PEER};
use crate::host::BATCH;
use etherparse::{IpFragOffset, IpNumber, PacketBuilder};

/// Behind the router.
pub const FAR: [u8; 4] = [198, 51, 100, 30];
/// The host's.
pub const OWN: [u8; 4] = [192, 0, 2, 1];
const PORT: u16 = 5000;

fn each(frame: impl Fn(u16, &mut Vec<u8>)) -> Vec<Vec<u8>> {
    let numbers = 0..BATCH as u16;
    numbers
        .map(|n| {
            let mut bytes = Vec::new();
            frame(n, &mut bytes);
            bytes
        })
        .collect()
}

fn from_peer(dst: [u8; 4]) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(PEER, MAC).ipv4([192, 0, 2, 10], dst, 64)
}

/// Datagrams to port 9.
pub fn udp(dst: [u8; 4]) -> Vec<Vec<u8>> {
    each(|n, bytes| {
        let udp = from_peer(dst).udp(PORT + n, 9);
        udp.write(bytes, &[0x5a; 64]).unwrap();
    })
}

/// The same over IPv6, to host `host` of network `net`.
pub fn udp6(net: u8, host: u8) -> Vec<Vec<u8>> {
    let address = |net: u8, host: u8| {
        let mut address = [0; 16];
        (address[0], address[3], address[15]) = (0xfd, net, host);
        address
    };
    each(|n, bytes| {
        PacketBuilder::ethernet2(PEER, MAC)
            .ipv6(address(1, 0x10), address(net, host), 64)
            .udp(PORT + n, 9)
            .write(bytes, &[0x5a; 64])
            .unwrap();
    })
}

/// Segments without flags and payload.
pub fn tcp(dst: [u8; 4]) -> Vec<Vec<u8>> {
    each(|n, bytes| {
        let tcp = from_peer(dst).tcp(PORT + n, 80, 1, 1000);
        tcp.write(bytes, &[]).unwrap();
    })
}

/// Pings of the host.
pub fn echo_requests() -> Vec<Vec<u8>> {
    each(|n, bytes| {
        let ping = from_peer(OWN).icmpv4_echo_request(n, 1);
        ping.write(bytes, &[0; 56]).unwrap();
    })
}

/// Datagrams to port 9 in two pieces each, one behind the other.
pub fn fragments(dst: [u8; 4]) -> Vec<Vec<u8>> {
    const FIRST: usize = 1000;
    let mut frames = Vec::new();
    for frame in udp(dst).into_iter().take(BATCH / 2) {
        let udp = etherparse::UdpHeader::without_ipv4_checksum(
            u16::from_be_bytes([frame[34], frame[35]]),
            9,
            1500,
        );
        let mut datagram = udp.unwrap().to_bytes().to_vec();
        datagram.resize(1508, 0x5a);
        for (offset, payload) in [(0, &datagram[..FIRST]), (FIRST, &datagram[FIRST..])] {
            let mut ip = etherparse::Ipv4Header::new(
                payload.len() as u16,
                64,
                IpNumber::UDP,
                [192, 0, 2, 10],
                dst,
            )
            .unwrap();
            ip.identification = frames.len() as u16 / 2;
            ip.more_fragments = offset == 0;
            ip.fragment_offset = IpFragOffset::try_new(offset as u16 / 8).unwrap();
            ip.header_checksum = ip.calc_header_checksum();
            let mut bytes = frame[..14].to_vec();
            bytes.extend(ip.to_bytes());
            bytes.extend(payload);
            frames.push(bytes);
        }
    }
    frames
}
