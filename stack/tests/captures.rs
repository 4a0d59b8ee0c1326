//! Traffic that real kernels wrote, frame by frame, against what tshark says of it: every frame is parsed by the host that it was sent to,
//! none panics, and both agree on which checksums are right and which datagrams come out of which fragments.

mod common;
mod peers;

use common::Wire;
use pcap_file::pcap::PcapReader;
use peers::skip;
use stack::{CsumState, DropReason, IfIndex, IpCidr, SkBuff, Stack, StackConfig, Stage, Tracer};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// What is wrong with a frame's checksum, by protocol, in tshark's order of fields.
const CHECKS: [(&str, DropReason); 5] = [
    ("ip.checksum.status", DropReason::IpCsum),
    ("tcp.checksum.status", DropReason::TcpCsum),
    ("udp.checksum.status", DropReason::UdpCsum),
    ("icmp.checksum.status", DropReason::IcmpCsum),
    ("icmpv6.checksum.status", DropReason::IcmpCsum),
];
/// Why a frame is lost that cannot be parsed: none of these may happen to a kernel's.
const MALFORMED: [DropReason; 6] = [
    DropReason::IpInHdr,
    DropReason::PktTooSmall,
    DropReason::HdrTrunc,
    DropReason::UnhandledProto,
    DropReason::TcpFlags,
    DropReason::Ipv6NdiscBadOptions,
];
/// tshark's word for a checksum that is wrong.
const BAD: &str = "0";

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../cosim/data")
        .join(name)
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = PcapReader::new(File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        frames.push(packet.unwrap().data.into_owned());
    }
    frames
}

/// What the stack said about one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Judged {
    /// The outermost checksum that is wrong: what is inside of a wrong IP header is not looked at.
    bad: Option<DropReason>,
    /// Payload of the datagram that it completed.
    reassembled: Option<Vec<u8>>,
}

#[derive(Default)]
struct Judge {
    now: Judged,
}

impl Tracer for Judge {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        match stage {
            Stage::Drop(reason) if CHECKS.iter().any(|(_, r)| *r == reason) => {
                self.now.bad = Some(reason);
            }
            Stage::Defrag => {
                let packet = skb.network_bytes();
                let header = match packet[0] >> 4 {
                    4 => usize::from(packet[0] & 15) * 4,
                    _ => 40,
                };
                let frame = skb.to_vec();
                let at = (skb.network_offset() + header as isize) as usize;
                self.now.reassembled = Some(frame[at..].to_vec());
            }
            _ => {}
        }
    }
}

/// A host, its device and what is on the device's wire.
type OnWire = (Stack, IfIndex, Rc<RefCell<Wire>>);

/// A host per MAC address that frames were sent to, with all addresses that they named.
struct Hosts {
    hosts: BTreeMap<[u8; 6], OnWire>,
    judge: Rc<RefCell<Judge>>,
}

fn destination(frame: &[u8]) -> Option<([u8; 6], IpAddr)> {
    let mac = *frame.first_chunk::<6>()?;
    let ip = match frame.get(12..14)? {
        [8, 0] => Ipv4Addr::from(*frame.get(30..34)?.first_chunk::<4>()?).into(),
        [0x86, 0xdd] => Ipv6Addr::from(*frame.get(38..54)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    (mac[0] & 1 == 0).then_some((mac, ip))
}

impl Hosts {
    fn new(frames: &[Vec<u8>]) -> Self {
        let mut addresses: BTreeMap<[u8; 6], BTreeSet<IpAddr>> = BTreeMap::new();
        for (mac, ip) in frames.iter().filter_map(|f| destination(f)) {
            addresses.entry(mac).or_default().insert(ip);
        }
        let judge = Rc::new(RefCell::new(Judge::default()));
        let mut hosts = BTreeMap::new();
        for (mac, ips) in addresses {
            let mut stack = Stack::new(StackConfig::default());
            let wire = Wire::new(mac);
            let dev = stack.add_device("eth0", Box::new(Rc::clone(&wire)));
            for ip in ips {
                let len = if ip.is_ipv4() { 24 } else { 64 };
                // The link-local address is there already.
                let _ = stack.add_addr(dev, IpCidr::new(ip, len).unwrap());
            }
            stack.set_tracer(Box::new(Rc::clone(&judge)));
            hosts.insert(mac, (stack, dev, wire));
        }
        Self { hosts, judge }
    }

    /// Every host on the wire gets the frame, as from a hub.
    fn judge(&mut self, frame: &[u8]) -> Judged {
        self.judge.borrow_mut().now = Judged::default();
        for (stack, dev, wire) in self.hosts.values_mut() {
            let entry = (frame.to_vec(), CsumState::None);
            wire.borrow_mut().rx.push_back(entry);
            stack.napi_schedule(*dev);
            while stack.net_rx_action(1) {}
            wire.borrow_mut().tx.clear();
        }
        self.judge.borrow().now.clone()
    }
}

/// tshark's judgement of a capture, frame by frame; `None` without tshark.
fn tshark(path: &Path) -> Option<Vec<Judged>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-T", "fields", "-E"]);
    command.args(["separator=,", "-E", "occurrence=f"]);
    for protocol in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    for (field, _) in CHECKS {
        command.args(["-e", field]);
    }
    command.args(["-e", "ip.reassembled.data"]);
    let output = match command.output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let judged = text.lines().map(|line| {
        let values: Vec<&str> = line.split(',').collect();
        let wrong = CHECKS.iter().zip(&values).find(|(_, v)| **v == BAD);
        Judged {
            bad: wrong.map(|((_, reason), _)| *reason),
            reassembled: Some(bytes(values[CHECKS.len()])).filter(|b| !b.is_empty()),
        }
    });
    Some(judged.collect())
}

/// The bytes of a hexadecimal text.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).expect("hexadecimal") as u8)
        .collect();
    digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect()
}

fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut file = File::create(path).unwrap();
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    bytes.extend([0; 8]);
    bytes.extend(65535u32.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for (n, frame) in frames.iter().enumerate() {
        for word in [n as u32, 0, frame.len() as u32, frame.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    file.write_all(&bytes).unwrap();
}

fn compare(path: &Path, frames: &[Vec<u8>]) -> Option<(usize, usize)> {
    let theirs = tshark(path)?;
    assert_eq!(theirs.len(), frames.len());
    let mut hosts = Hosts::new(frames);
    let (mut bad, mut whole) = (0, 0);
    for (n, (frame, theirs)) in frames.iter().zip(&theirs).enumerate() {
        let ours = hosts.judge(frame);
        assert_eq!(ours.bad, theirs.bad, "frame {}", n + 1);
        if ours.bad.is_none() {
            assert_eq!(ours.reassembled, theirs.reassembled, "frame {}", n + 1);
        }
        bad += usize::from(ours.bad.is_some());
        whole += usize::from(ours.reassembled.is_some());
    }
    for (stack, _, _) in hosts.hosts.values() {
        let s = stack.stats();
        assert!(s.received >= frames.len() as u64);
        for reason in MALFORMED {
            assert_eq!(s.drop_count(reason), 0, "{reason:?}");
        }
        let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
        assert_eq!(s.received + s.built, ended, "{s:?}");
    }
    Some((bad, whole))
}

#[test]
fn checksums_and_reassembly_agree_with_tshark() {
    for name in ["mixed.pcap", "tcp-loss.pcap"] {
        let path = capture(name);
        let frames = frames(&path);
        let Some((bad, whole)) = compare(&path, &frames) else {
            return skip(&["tshark"], "tshark is not installed");
        };
        println!(
            "{name}: {} frames, {bad} bad checksums, {whole} datagrams put together",
            frames.len()
        );
        assert_eq!(bad, 0, "a kernel wrote it");
        assert_eq!(whole > 0, name == "mixed.pcap");
    }
}

/// The same frames with one bit wrong, somewhere behind the Ethernet header.
#[test]
fn wrong_bits_are_found_where_tshark_finds_them() {
    let mut frames: Vec<Vec<u8>> = frames(&capture("mixed.pcap"))
        .into_iter()
        .filter(|f| match f[12..14] {
            // Whole datagrams only: a fragment's fault shows in another frame.
            [8, 0] => f[20] & 0x3f == 0 && f[21] == 0,
            // Groups that nobody here is in are not looked at.
            [0x86, 0xdd] => f[0] & 1 == 0,
            _ => false,
        })
        .collect();
    let mut seed = 1u64;
    for frame in &mut frames {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let field = |at| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        // The source address, or the payload: no length and no other meaning changes.
        let choices = match frame[12..14] {
            [8, 0] => [26 + (seed >> 33) as usize % 4, 14 + field(16) - 1],
            _ => [29 + (seed >> 33) as usize % 8, 54 + field(18) - 1],
        };
        frame[choices[(seed >> 62) as usize & 1]] ^= 1 << ((seed >> 40) & 7);
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("wrong-bits.pcap");
    write_pcap(&path, &frames);
    let Some((bad, _)) = compare(&path, &frames) else {
        return skip(&["tshark"], "tshark is not installed");
    };
    println!("{bad} of {} frames have a wrong checksum", frames.len());
    assert_eq!(bad, frames.len());
}

/// Every frame cut to every length, and with every byte inverted: nothing panics, and every packet ends.
#[test]
fn no_part_of_a_real_frame_panics() {
    let all = frames(&capture("mixed.pcap"));
    let mut hosts = Hosts::new(&all);
    let mut kinds = BTreeSet::new();
    for frame in &all {
        // One of each kind and length is enough.
        let kind = (frame[12..14].to_vec(), frame.get(23).copied(), frame.len());
        if !kinds.insert(kind) {
            continue;
        }
        for cut in 0..frame.len().min(120) {
            hosts.judge(&frame[..cut]);
            let mut other = frame.clone();
            other[cut] = !other[cut];
            hosts.judge(&other);
        }
    }
    println!("{} kinds of frames", kinds.len());
    for (stack, _, _) in hosts.hosts.values() {
        let s = stack.stats();
        let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
        assert_eq!(s.received + s.built, ended, "{s:?}");
    }
}
