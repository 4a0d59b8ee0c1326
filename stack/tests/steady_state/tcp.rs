//! A TCP connection: a stream in, merged or not, and one out.

use crate::common::{MAC, PEER};
use crate::counting;
use crate::host::{Host, MS, ROUNDS, Scene};
use crate::packets::OWN;
use etherparse::{IpHeaders, IpNumber, PacketBuilder, TcpHeader};
use stack::NetFeatures;

const PORTS: (u16, u16) = (5000, 80);
/// Payload of a segment, and segments of a round.
const MSS: usize = 1000;
const SEGMENTS: usize = 16;
/// What the peer's stream begins with.
const ISN: u32 = 1000;

fn segment(n: usize, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut ip = etherparse::Ipv4Header::new(0, 64, IpNumber::TCP, [192, 0, 2, 10], OWN).unwrap();
    ip.identification = n as u16;
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ip(IpHeaders::Ipv4(ip, Default::default()))
        .tcp_header(header)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

fn header(seq: u32, ack: u32) -> TcpHeader {
    let mut tcp = TcpHeader::new(PORTS.0, PORTS.1, seq, 60_000);
    (tcp.ack, tcp.acknowledgment_number) = (true, ack);
    tcp
}

/// Puts sequence and acknowledgement number of this round in the frames; the device says that checksums are right.
fn number(frames: &mut [Vec<u8>], seq: u32, ack: u32) {
    for (n, frame) in frames.iter_mut().enumerate() {
        let seq = seq.wrapping_add((n * MSS) as u32);
        frame[38..42].copy_from_slice(&seq.to_be_bytes());
        frame[42..46].copy_from_slice(&ack.to_be_bytes());
    }
}

/// In each round the peer sends [`SEGMENTS`] segments and acknowledges what came; the application reads them and sends `answer` bytes.
fn stream(gro: bool, answer: usize) {
    let scene = Scene::new(Vec::new());
    let mut host = Host::new(Scene {
        features: NetFeatures {
            gro,
            ..scene.features
        },
        ..scene
    });
    let listener = host.stack.tcp_listen(OWN.into(), PORTS.1, 1).unwrap();
    let mut syn = TcpHeader::new(PORTS.0, PORTS.1, ISN, 60_000);
    syn.syn = true;
    host.input.borrow_mut().frames = vec![segment(0, syn, &[])];
    host.interrupt();
    let theirs = host.input.borrow().last[38..42].try_into().unwrap();
    let (mut seq, mut ack) = (ISN + 1, u32::from_be_bytes(theirs).wrapping_add(1));
    host.input.borrow_mut().frames = vec![segment(0, header(seq, ack), &[])];
    host.interrupt();
    let connection = host.stack.tcp_accept(listener).expect("a connection");
    let frames = (0..SEGMENTS).map(|n| segment(n, header(seq, ack), &[0x5a; MSS]));
    host.input.borrow_mut().frames = frames.collect();
    let answer = vec![0xa5; answer];
    let (mut allocations, mut received) = (0, 0);
    for round in 0..100 + ROUNDS {
        number(&mut host.input.borrow_mut().frames, seq, ack);
        seq = seq.wrapping_add((SEGMENTS * MSS) as u32);
        ack = ack.wrapping_add(answer.len() as u32);
        let before = counting::allocations();
        host.interrupt();
        let taken = host.stack.tcp_send(connection, &answer, host.now).unwrap();
        assert_eq!(taken, answer.len());
        if round >= 100 {
            allocations += counting::allocations() - before;
        }
        // The vector is the application's.
        let bytes = host
            .stack
            .tcp_recv(connection, usize::MAX, host.now + MS / 2);
        received += bytes.unwrap().map_or(0, |bytes| bytes.len());
    }
    assert_eq!(received, (100 + ROUNDS) * SEGMENTS * MSS);
    assert_eq!(host.stack.stats().dropped, 0);
    let sent = host.input.borrow().sent;
    assert!(sent > ROUNDS * answer.len().div_ceil(MSS), "{sent} sent");
    assert_eq!(
        allocations,
        0,
        "gro {gro}, {} bytes of answer",
        answer.len()
    );
}

#[test]
fn a_stream_in() {
    stream(true, 0);
    stream(false, 0);
}

#[test]
fn a_stream_each_way() {
    stream(true, 4000);
    stream(false, 4000);
}
