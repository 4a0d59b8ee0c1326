//! This project's side: a host for each case.

use crate::common::{SEC, Wire};
use stack::{CsumState, DropReason, SkBuff, Stack, StackConfig, Stage, Tracer};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

/// Devices of the host, and their MAC addresses.
const DEVICES: [(&str, [u8; 6]); 2] = [("e1", [2, 0, 0, 0, 1, 1]), ("e2", [2, 0, 0, 0, 2, 1])];
/// What record.py sets up, too.
const SYSCTLS: [&str; 5] = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.icmp.ratelimit=0",
];
const CONFIGURED: [&str; 8] = [
    "addr add 10.0.1.1/24 dev e1",
    "addr add 10.0.2.1/24 dev e2",
    "neigh replace 10.0.1.2 lladdr 02:00:00:00:00:11 dev e1 nud permanent",
    "neigh replace 10.0.2.2 lladdr 02:00:00:00:00:12 dev e2 nud permanent",
    "addr add 2001:db8:1::1/64 dev e1 nodad",
    "addr add 2001:db8:2::1/64 dev e2 nodad",
    "neigh replace 2001:db8:1::2 lladdr 02:00:00:00:00:11 dev e1 nud permanent",
    "neigh replace 2001:db8:2::2 lladdr 02:00:00:00:00:12 dev e2 nud permanent",
];
/// Protocol number of ICMP.
const ICMP: u8 = 1;
/// When the frames come: its milliseconds are found nowhere in them.
const NOW: u64 = 0x0234_5678 * (SEC / 1000);

#[derive(Clone, Default)]
struct Drops(Rc<RefCell<Vec<DropReason>>>);

impl Tracer for Drops {
    fn event(&mut self, _skb: &SkBuff, stage: Stage) {
        if let Stage::Drop(reason) = stage {
            self.0.borrow_mut().push(reason);
        }
    }
}

/// What happens when these frames come in, one after the other, as the lines of a recording.
pub fn run(frames: &[&str]) -> Vec<String> {
    let mut stack = Stack::new(StackConfig::default());
    for line in SYSCTLS {
        stack.sysctl(&format!("-qw {line}")).unwrap();
    }
    let ports = DEVICES.map(|(name, mac)| {
        let wire = Wire::new(mac);
        (stack.add_device(name, Box::new(Rc::clone(&wire))), wire)
    });
    for line in CONFIGURED {
        stack.ip(line).unwrap();
    }
    let begin = NOW - 10 * SEC;
    stack.run_timers(begin);
    while stack.net_rx_action(begin) {}
    for (_, wire) in &ports {
        wire.borrow_mut().tx.clear();
    }
    let drops = Drops::default();
    stack.set_tracer(Box::new(drops.clone()));
    for line in frames {
        let words: Vec<&str> = line.split(' ').collect();
        let at = DEVICES.iter().position(|(name, _)| *name == words[1]);
        let (dev, wire) = &ports[at.unwrap()];
        let frame = unhex(words[2]);
        wire.borrow_mut().rx.push_back((frame, CsumState::None));
        stack.napi_schedule(*dev);
        while stack.net_rx_action(NOW) {}
    }
    let reasons = drops.0.borrow();
    let mut result: Vec<String> = reasons.iter().map(|r| format!("drop {r}")).collect();
    for ((name, _), (_, wire)) in DEVICES.iter().zip(&ports) {
        for frame in std::mem::take(&mut wire.borrow_mut().tx) {
            result.push(format!("out {name} {}", hex(&masked(frame))));
        }
    }
    let s = stack.stats();
    let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
    assert_eq!(s.received + s.built, ended, "{s:?}");
    result
}

/// Without what a host chooses as it likes, and the time.
fn masked(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.get(12..14) != Some(&[8, 0]) {
        return frame;
    }
    frame[18..20].fill(0);
    frame[24..26].fill(0);
    for at in 34..frame.len().saturating_sub(3) {
        if frame[at..at + 4] == 0x0234_5678_u32.to_be_bytes() {
            frame[at..at + 4].fill(0);
            if frame[23] == ICMP {
                let icmp = 14 + usize::from(frame[14] & 15) * 4;
                frame[icmp + 2..icmp + 4].fill(0);
            }
        }
    }
    frame
}

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
