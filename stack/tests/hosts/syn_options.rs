//! IPv4 options of a SYN, and of the connection that becomes of it: what Linux 6.18 answered to the same SYNs, on a device of 1500 bytes.

use super::*;
use std::net::IpAddr;

/// This host's address, and the times of the SYN and of what is sent later, as they stand in options.
const OWN: &str = "c0000214";
const SYN_AT: u64 = 5_000;
const LATER: u64 = 7_000;

/// Options of the SYN, its TCP options, then: options of the SYN-ACK, options of later segments, bytes of the first one. `O` is this host's
/// address, `S` and `L` are the times.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    usize,
);

const MSS: &str = "020405b4";
const TIMES: &str = "020405b40101080a0000006400000000";
const RR9: &str =
    "07270400000000000000000000000000000000000000000000000000000000000000000000000000";
const RR9_ECHO: &str = "07270cOO0000000000000000000000000000000000000000000000000000000000";

const ROWS: &[Row] = &[
    ("", MSS, "", "", 1460),
    ("01010100", MSS, "", "", 1460),
    // Router alert asks nothing of an answer.
    ("94040000", MSS, "", "", 1460),
    (
        "070f0400000000000000000000000000",
        MSS,
        "070f0cOO0000000000",
        "070f0cOO0000000000",
        1444,
    ),
    // Full.
    (
        "0707080102030400",
        MSS,
        "0707080102030400",
        "0707080102030400",
        1452,
    ),
    (
        "44100500000000000000000000000000",
        MSS,
        "44100d00SS00000000",
        "44100d00SL00000000",
        1444,
    ),
    (
        "4414050100000000000000000000000000000000",
        MSS,
        "44141501OSOS",
        "44141501OSOL",
        1440,
    ),
    // This host was asked for its time, which it entered once.
    ("440c0503O00000000", MSS, "440c0d03OS", "440c0d03OS", 1448),
    (
        "070b04000000000000000001440c05000000000000000000",
        MSS,
        "070b0cOO440c0d00SS00",
        "070b0cOO440c0d00SL00",
        1436,
    ),
    (
        "070f0400000000000000000000000000",
        "02040218",
        "070f0cOO0000000000",
        "070f0cOO0000000000",
        520,
    ),
    (
        "070f0400000000000000000000000000",
        TIMES,
        "070f0cOO0000000000",
        "070f0cOO0000000000",
        1432,
    ),
    (RR9, MSS, RR9_ECHO, RR9_ECHO, 1420),
    (RR9, "", RR9_ECHO, RR9_ECHO, 496),
    // tcp_min_snd_mss
    (RR9, "02040040", RR9_ECHO, RR9_ECHO, 48),
    (
        RR9,
        "020400640101080a0000006400000000",
        RR9_ECHO,
        RR9_ECHO,
        48,
    ),
    ("", "02040040", "", "", 64),
    ("", "02040028", "", "", 48),
];

fn bytes(text: &str) -> Vec<u8> {
    let text = text
        .replace('O', OWN)
        .replace('S', &format!("{SYN_AT:08x}"))
        .replace('L', &format!("{LATER:08x}"));
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// A segment of the neighbour's port 80 to port 5000.
fn segment(options: &[u8], tcp_options: &[u8], seq: u32, ack: Option<u32>) -> Vec<u8> {
    let mut ip = etherparse::Ipv4Header::new(0, 64, IpNumber::TCP, V4.0, V4.1).unwrap();
    ip.options = options.try_into().unwrap();
    let mut tcp = etherparse::TcpHeader::new(80, 5000, seq, 65535);
    tcp.set_options_raw(tcp_options).unwrap();
    tcp.syn = ack.is_none();
    tcp.ack = ack.is_some();
    tcp.acknowledgment_number = ack.unwrap_or(0);
    tcp.checksum = tcp.calc_checksum_ipv4(&ip, &[]).unwrap();
    ip.set_payload_len(tcp.header_len()).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = [MAC.as_slice(), &PEER, &[8, 0]].concat();
    ip.write(&mut frame).unwrap();
    tcp.write(&mut frame).unwrap();
    frame
}

/// Options of a frame, its sequence number and its bytes of payload; all checksums are right.
fn parse(frame: &[u8]) -> (Vec<u8>, u32, usize) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Ipv4(ip)) = packet.net else {
        panic!("{frame:x?}");
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        panic!("{frame:x?}");
    };
    let header = ip.header().to_header();
    assert_eq!(header.calc_header_checksum(), header.header_checksum);
    let sum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload());
    assert_eq!(sum.unwrap(), tcp.checksum());
    (
        header.options.to_vec(),
        tcp.sequence_number(),
        tcp.payload().len(),
    )
}

fn run_until(host: &mut Host, ms: u64) {
    host.run_until(ms * (SEC / 1000));
    host.stack.run_timers(host.now);
}

#[test]
fn a_connection_answers_the_options_of_its_syn() {
    for (options, tcp_options, synack, later, mss) in ROWS {
        let says = format!("{options} {tcp_options}");
        let mut host = Host::new(StackConfig::default());
        let any: IpAddr = "0.0.0.0".parse().unwrap();
        let listener = host.stack.tcp_listen(any, 5000, 1).unwrap();
        run_until(&mut host, SYN_AT);
        host.sent();
        let (options, tcp_options) = (bytes(options), bytes(tcp_options));
        host.receive([segment(&options, &tcp_options, 1000, None)]);
        let sent = host.sent();
        let (ours, isn, _) = parse(&sent[0]);
        assert_eq!(ours, bytes(synack), "{says}");
        // The handshake's end need not have any.
        let times = match tcp_options.len() {
            8.. => bytes("0101080a0000006500000000"),
            _ => Vec::new(),
        };
        host.receive([segment(&[], &times, 1001, Some(isn.wrapping_add(1)))]);
        let socket = host.stack.tcp_accept(listener).expect(&says);
        run_until(&mut host, LATER);
        host.sent();
        let now = host.now;
        host.stack.tcp_send(socket, &[b'x'; 3000], now).unwrap();
        let sent = host.sent();
        let (ours, _, len) = parse(&sent[0]);
        assert_eq!((ours, len), (bytes(later), *mss), "{says}");
        host.assert_balanced();
    }
}
