//! What happens when: the frames that come in, and what the programs of `r` do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::frame::{ETH_HLEN, ICMP, Ip, TCP, UDP, be16};
use super::meta::Visit;
use super::programs::{Action, Programs};
use super::recording::{DEVICES, Recording};
use stack::Ps;

/// Simulated time of the recording's first frame; programs start before it.
const LEAD: Ps = 1_000_000_000_000;
/// A packet that left no frame was sent this long after the one before it.
const STEP: Ps = 1000;

/// What happens next.
#[derive(Debug, Clone)]
pub enum Step {
    /// A frame comes in.
    Frame {
        /// Through this device.
        device: &'static str,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A program of `r` does something.
    Program(Action),
}

/// A packet that `r` made.
#[derive(Debug)]
pub struct Sent {
    /// When.
    pub at: Ps,
    /// What it was.
    pub spoken: Spoken,
}

/// A packet that `r` made, as the program saw it: before NAT.
#[derive(Debug)]
pub enum Spoken {
    /// A datagram.
    Udp {
        /// Source.
        from: SocketAddrV4,
        /// Destination.
        to: SocketAddrV4,
        /// Payload.
        payload: Vec<u8>,
    },
    /// A segment.
    Tcp {
        /// Source.
        from: SocketAddrV4,
        /// Destination.
        to: SocketAddrV4,
        /// From its header on.
        segment: Vec<u8>,
    },
    /// An echo request.
    Echo {
        /// Destination.
        to: Ipv4Addr,
        /// Identifier.
        id: u16,
        /// Sequence number.
        sequence: u16,
        /// Bytes behind the header.
        payload: Vec<u8>,
    },
    /// Something that only the kernel sends.
    Kernel,
}

/// A datagram that left, put together when it left in fragments.
#[derive(Debug, Clone)]
struct Left {
    time: Duration,
    packet: Vec<u8>,
}

/// When the frames were seen on their wires, since 1970, in no order.
fn times(recording: &Recording) -> impl Iterator<Item = Duration> + '_ {
    let frames = recording
        .incoming
        .values()
        .chain(recording.outgoing.values());
    frames.flatten().map(|frame| frame.time)
}

/// What the clock on the wall said at simulated time 0, in nanoseconds since 1970: such that the first frame comes when it did.
pub fn realtime_at_start(recording: &Recording) -> u64 {
    let first = times(recording).min().unwrap_or_default();
    let first = u64::try_from(first.as_nanos()).unwrap_or_default();
    first.saturating_sub(LEAD / 1000)
}

/// All steps in order of time, and the time of the last thing that was recorded.
pub fn plan(recording: &Recording, hooks: &BTreeMap<String, String>) -> (Vec<(Ps, Step)>, Ps) {
    let first = times(recording).min().unwrap_or_default();
    let last = times(recording).max().unwrap_or_default();
    // Nanoseconds of a few seconds.
    let ps = |time: Duration| LEAD + time.saturating_sub(first).as_nanos() as Ps * 1000;
    let mut steps: Vec<(Ps, Step)> = Vec::new();
    for (&device, frames) in &recording.incoming {
        steps.extend(frames.iter().map(|frame| {
            let step = Step::Frame {
                device,
                bytes: frame.bytes.clone(),
            };
            (ps(frame.time), step)
        }));
    }
    let actions = actions(recording, hooks, &ps);
    steps.extend(actions.into_iter().map(|(at, a)| (at, Step::Program(a))));
    // What was caught at the same time came in first: an answer cannot be earlier than its cause.
    steps.sort_by_key(|(at, step)| (*at, matches!(step, Step::Program(_))));
    (steps, ps(last))
}

/// What the programs did.
fn actions(
    recording: &Recording,
    hooks: &BTreeMap<String, String>,
    ps: &dyn Fn(Duration) -> Ps,
) -> Vec<(Ps, Action)> {
    let mut left: BTreeMap<&str, Vec<Left>> = recording
        .outgoing
        .iter()
        .map(|(&device, frames)| {
            let packets = frames.iter().filter(|f| be16(&f.bytes, 12) == 0x0800);
            let packets = packets.map(|f| (f.time, f.bytes[ETH_HLEN..].to_vec()));
            (device, whole_packets(packets))
        })
        .collect();
    let mut entered: BTreeMap<&str, std::vec::IntoIter<Duration>> = DEVICES
        .into_iter()
        .map(|device| {
            let times: Vec<_> = recording.incoming[device].iter().map(|f| f.time).collect();
            (device, times.into_iter())
        })
        .collect();
    let packets = &recording.meta.packets;
    let refused = refused(packets, hooks);
    let mut programs = Programs::default();
    let mut made = recording.made.iter();
    let mut now = LEAD;
    for (i, walk) in packets.iter().enumerate() {
        let Some(start) = walk.first() else { continue };
        if let Some(device) = start.iif.as_deref() {
            if let Some(time) = entered.get_mut(device).and_then(Iterator::next) {
                now = now.max(ps(time));
            }
            if device == "lo" {
                now += STEP;
            }
            if let Some(port) = delivered_udp(walk, hooks) {
                programs.delivered(now, port, refused.contains(&i));
            }
        } else if !start.is_bare() {
            // A copy of what was sent to many, for this host itself: only the last hook sees it before it comes in.
            if hooks
                .get(&start.chain)
                .is_some_and(|hook| hook == "postrouting")
            {
                continue;
            }
            let frame = take_left(&mut left, walk);
            now = match &frame {
                Some(frame) => now.max(ps(frame.time)),
                None => now + STEP,
            };
            let printed = made.next().map_or("", String::as_str);
            if is_duplicate(walk) {
                continue;
            }
            let spoken = match (&frame, quoted_echo(recording, start, printed)) {
                (None, Some(echo)) => echo,
                _ => spoken(start, frame.as_ref(), printed),
            };
            programs.sent(&Sent { at: now, spoken });
        } else {
            // A fragment; it belongs to a packet above.
        }
    }
    programs.finish()
}

/// Whether a packet that begins at the output hook is a copy that a rule made (`dup to`): of what a program sent no hook knows a device of
/// input, of a copy the last one does.
fn is_duplicate(walk: &[Visit]) -> bool {
    walk.iter().any(|visit| visit.iif.is_some())
}

/// The packets that a port-unreachable message answers, by number.
fn refused(packets: &[Vec<Visit>], hooks: &BTreeMap<String, String>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut candidate = None;
    for (i, walk) in packets.iter().enumerate() {
        let Some(start) = walk.first() else { continue };
        if start.iif.is_some() {
            candidate = delivered_udp(walk, hooks).map(|_| (i, start.saddr.clone()));
        } else if start.icmp_type.as_deref() == Some("destination-unreachable")
            && let Some((i, sender)) = candidate.take()
            && sender == start.daddr
        {
            found.insert(i);
        }
    }
    found
}

/// The port, when the walk ends in a socket: at the input hook, not dropped, and not sent to many.
fn delivered_udp(walk: &[Visit], hooks: &BTreeMap<String, String>) -> Option<u16> {
    let last = walk.last()?;
    let at_input = hooks.get(&last.chain).is_some_and(|hook| hook == "input");
    let dropped = last.verdict.is_some() || last.rules.iter().any(|r| r.verdict != "accept");
    let protocol = walk.iter().find_map(|v| v.protocol.as_deref());
    // On lo nothing tells the protocol; TCP has its own ways.
    let udp = protocol.is_none_or(|p| p == "udp");
    let daddr: Ipv4Addr = last.daddr.as_deref()?.parse().ok()?;
    let to_many = daddr.is_multicast() || daddr.octets()[3] == 255;
    if !at_input || dropped || !udp || to_many {
        return None;
    }
    last.dport.as_deref()?.parse().ok()
}

/// The frame of a packet that left: the first on its device, not taken yet, that looks as the packet did when it was seen last.
fn take_left(left: &mut BTreeMap<&str, Vec<Left>>, walk: &[Visit]) -> Option<Left> {
    let last = walk.iter().rev().find(|v| !v.is_bare())?;
    let device = walk.last()?.oif.as_deref()?;
    let frames = left.get_mut(device)?;
    let found = frames.iter().position(|frame| {
        let Some(ip) = Ip::parse(&frame.packet) else {
            return false;
        };
        let ports = ip.ports(&frame.packet);
        let same = |text: &Option<String>, value: Option<String>| {
            text.is_none() || value.is_none() || *text == value
        };
        same(&last.saddr, Some(ip.src.to_string()))
            && same(&last.daddr, Some(ip.dst.to_string()))
            && same(&last.length, Some(ip.total_len.to_string()))
            && same(&last.sport, ports.map(|p| p.0.to_string()))
            && same(&last.dport, ports.map(|p| p.1.to_string()))
            && (last.sport.is_some() == ports.is_some())
    })?;
    Some(frames.remove(found))
}

/// What a packet was, before NAT; its bytes come from the frame.
fn spoken(start: &Visit, frame: Option<&Left>, printed: &str) -> Spoken {
    let end = |address: &Option<String>, port: &Option<String>| {
        let ip = address.as_deref()?.parse().ok()?;
        let port = port.as_deref()?.parse().ok()?;
        Some(SocketAddrV4::new(ip, port))
    };
    let ends = end(&start.saddr, &start.sport).zip(end(&start.daddr, &start.dport));
    let parsed = frame.and_then(|f| Some((f, Ip::parse(&f.packet)?)));
    match (ends, parsed) {
        (Some((from, to)), Some((frame, ip))) if ip.protocol == UDP => Spoken::Udp {
            from,
            to,
            payload: ip
                .transport(&frame.packet)
                .get(8..)
                .unwrap_or_default()
                .to_vec(),
        },
        (Some((from, to)), Some((frame, ip))) if ip.protocol == TCP => Spoken::Tcp {
            from,
            to,
            segment: ip.transport(&frame.packet).to_vec(),
        },
        (None, Some((frame, ip))) if ip.protocol == ICMP => {
            let message = ip.transport(&frame.packet);
            match (message.first(), address(&start.daddr)) {
                (Some(8), Some(to)) => Spoken::Echo {
                    to,
                    id: be16(message, 4),
                    sequence: be16(message, 6),
                    payload: message.get(8..).unwrap_or_default().to_vec(),
                },
                _ => Spoken::Kernel,
            }
        }
        // It left no frame: a rule stopped it. What the trace printed is known.
        (Some((from, to)), None) => unsent(start, from, to, printed),
        _ => Spoken::Kernel,
    }
}

/// A packet that was dropped on its way out. The trace printed a datagram's length and the first bytes of its payload, and the flags of a
/// segment; only a first SYN has a cause that is not known already.
fn unsent(start: &Visit, from: SocketAddrV4, to: SocketAddrV4, printed: &str) -> Spoken {
    let length: usize = start
        .length
        .as_deref()
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    if printed.contains(" tcp sport ") {
        let syn = ["tcp flags == 0x2 ", "tcp flags == syn ", "tcp flags syn "];
        if !syn.iter().any(|text| printed.contains(text)) {
            return Spoken::Kernel;
        }
        // A SYN without options, as far as telling it from others goes.
        let mut segment = vec![0; 20];
        segment[12] = 5 << 4;
        segment[13] = 2;
        return Spoken::Tcp { from, to, segment };
    }
    let mut payload = printed_payload(printed);
    payload.resize(length.saturating_sub(28), 0);
    Spoken::Udp { from, to, payload }
}

/// An echo request that left no frame: the error that it caused went over lo and quotes it; else only the trace tells of it.
fn quoted_echo(recording: &Recording, start: &Visit, printed: &str) -> Option<Spoken> {
    let number = |name: &str| {
        let (_, rest) = printed.split_once(name)?;
        rest.split_whitespace().next()?.parse::<u16>().ok()
    };
    if start.icmp_type.as_deref() != Some("echo-request") {
        return None;
    }
    let to = address(&start.daddr)?;
    let (id, sequence) = (number("icmp id ")?, number("icmp sequence ")?);
    let quotes = recording.outgoing.get("lo")?.iter().filter_map(|frame| {
        let packet = frame.bytes.get(ETH_HLEN..)?;
        let ip = Ip::parse(packet)?;
        let quoted = ip.transport(packet).get(8..)?;
        let inner = Ip::parse(quoted)?;
        let request = inner.transport(quoted);
        let same = ip.protocol == ICMP && inner.protocol == ICMP && inner.dst == to;
        let asked = (be16(request, 4), be16(request, 6)) == (id, sequence);
        (same && asked && request.first() == Some(&8)).then(|| request.get(8..).map(<[u8]>::to_vec))
    });
    let length: usize = start.length.as_deref()?.parse().ok()?;
    let mut payload = quotes
        .flatten()
        .next()
        .unwrap_or_else(|| printed_payload(printed));
    payload.resize(length.saturating_sub(28), 0);
    Some(Spoken::Echo {
        to,
        id,
        sequence,
        payload,
    })
}

/// `@th,64,24 0x526869`: bytes behind the UDP header.
fn printed_payload(printed: &str) -> Vec<u8> {
    let Some((_, rest)) = printed.split_once("@th,64,") else {
        return Vec::new();
    };
    let mut words = rest.split_whitespace();
    let bits: usize = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    let hex = words
        .next()
        .and_then(|w| w.strip_prefix("0x"))
        .unwrap_or("");
    // Leading zeros are not printed.
    let hex = format!("{hex:0>width$}", width = bits / 4);
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect()
}

fn address(text: &Option<String>) -> Option<Ipv4Addr> {
    text.as_deref()?.parse().ok()
}

/// Puts fragments together, by addresses, protocol and identification; a datagram's time is that of its first fragment.
fn whole_packets(packets: impl Iterator<Item = (Duration, Vec<u8>)>) -> Vec<Left> {
    let mut all: Vec<Left> = Vec::new();
    let mut open: BTreeMap<(IpAddr, IpAddr, u8, u16), usize> = BTreeMap::new();
    for (time, packet) in packets {
        let Some(ip) = Ip::parse(&packet) else {
            continue;
        };
        let key = (ip.src, ip.dst, ip.protocol, be16(&packet, 4));
        if ip.offset == 0 {
            if ip.more {
                open.insert(key, all.len());
            }
            all.push(Left { time, packet });
        } else if let Some(whole) = open.get(&key).and_then(|&i| all.get_mut(i)) {
            // Fragments leave in order.
            whole.packet.extend(ip.transport(&packet));
            let len = whole.packet.len().min(65535) as u16;
            whole.packet[2..4].copy_from_slice(&len.to_be_bytes());
            whole.packet[6..8].fill(0);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::router::hooks;
    use super::*;

    fn programs(name: &str) -> Vec<String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/oracle");
        let recording = Recording::open(&dir.join(name)).unwrap();
        let (steps, _) = plan(&recording, &hooks(&recording.base));
        let done = steps.iter().filter_map(|(_, step)| match step {
            Step::Program(action) => Some(format!("{action:?}")),
            Step::Frame { .. } => None,
        });
        done.collect()
    }

    #[test]
    fn a_server_is_told_from_its_answer() {
        let expected = [
            "UdpBind(9)",
            "UdpSend { from: 10.0.1.1:9, to: 10.0.1.2:40000, payload: [82, 104, 105] }",
        ];
        assert_eq!(programs("01_local_delivery_udp"), expected);
        assert_eq!(programs("10_redirect_local"), expected);
    }

    #[test]
    fn both_ends_of_a_conversation_over_lo() {
        let expected = [
            "UdpBind(40000)",
            "UdpConnect(40000, 127.0.0.1:9)",
            "UdpSend { from: 127.0.0.1:40000, to: 127.0.0.1:9, payload: [104, 105] }",
            "UdpBind(9)",
            "UdpSend { from: 127.0.0.1:9, to: 127.0.0.1:40000, payload: [82, 104, 105] }",
        ];
        let mut found = programs("04_loopback");
        let mut sorted = expected.map(str::to_owned);
        found.sort();
        sorted.sort();
        assert_eq!(found, sorted);
    }

    #[test]
    fn what_a_kernel_sends_on_its_own_is_no_program() {
        for name in [
            "02_forward_udp",
            "23_reject_forward",
            "26_no_route",
            "32_mcast_bcast",
            "33_tcp_closed_port_rst",
        ] {
            assert_eq!(programs(name), [""; 0], "{name}");
        }
    }
}
