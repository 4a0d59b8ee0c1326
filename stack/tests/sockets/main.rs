//! Raw and packet sockets against those of the kernel of this machine: the same sockets, the same frames and messages, and each socket must see
//! the same packets in the same order, with the same bytes and addresses.
//!
//! Needs root, iproute2, nft and Python 3; skips without.

#[path = "../common/mod.rs"]
mod common;
mod kernel;
mod ours;
#[path = "../peers/mod.rs"]
mod peers;
mod scenario;

use peers::skip;
use std::fmt::Write as _;

/// Lines that both sides are configured by, besides the kernel's devices.
const CONFIGURED: [&str; 5] = [
    "addr add 192.0.2.20/24 dev eth_c",
    "addr add fd00:9::2/64 dev eth_c nodad",
    "neigh add 192.0.2.10 lladdr 02:00:00:00:00:0a dev eth_c nud permanent",
    "neigh add fd00:9::1 lladdr 02:00:00:00:00:0a dev eth_c nud permanent",
    "link set lo up",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// What the host chooses as it likes is no difference: identifications of IPv4, and the checksum over them.
fn masked(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let Some(mut bytes) = words.last().filter(|_| words[0] != "#").map(|w| unhex(w)) else {
        return line.to_owned();
    };
    let is_packet = words.len() > 3;
    let at = [0, 14, 18].into_iter().find(|&at| {
        let type_before = at == 0 || bytes.get(at - 2..at) == Some(&[8, 0]);
        let version4 = bytes.get(at) == Some(&0x45) && bytes.len() >= at + 20;
        version4 && type_before && (is_packet || at == 0)
    });
    if let Some(at) = at {
        bytes[at + 4..at + 6].fill(0);
        bytes[at + 10..at + 12].fill(0);
    }
    *words.last_mut().unwrap() = hex(&bytes);
    words.join(" ")
}

#[test]
fn sockets_see_what_the_kernels_see() {
    let lines = scenario::lines();
    let expected = match kernel::run(&lines) {
        Ok(expected) => expected,
        Err(why) => return skip(&["netns", "ifb", "nft", "python3"], &why),
    };
    let mut ours = ours::Ours::new();
    for line in &lines {
        ours.run(line);
    }
    let seen: Vec<String> = ours.seen.iter().map(|line| masked(line)).collect();
    let packets = expected.iter().filter(|line| !line.starts_with('#'));
    assert!(packets.count() > 60, "{expected:#?}");
    for (at, (kernel, ours)) in expected.iter().zip(&seen).enumerate() {
        let step = expected[..=at].iter().rev().find(|l| l.starts_with('#'));
        assert_eq!(kernel, ours, "left: the kernel's, right: ours, at {step:?}");
    }
    assert_eq!(expected.len(), seen.len(), "{expected:#?} {seen:#?}");
    let s = ours.stack.stats();
    let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
    assert_eq!(s.received + s.built, ended, "{s:?}");
}
