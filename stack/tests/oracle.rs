//! The order of the hooks and the frames that leave, compared with what a Linux 6.18 kernel reported for the same frames.
//!
//! `data/oracle/base.nft` is the ruleset that the kernel ran: one chain on every hook and priority. Here a recording function stands for
//! each chain. There is no connection tracking yet, and in the kernel NAT chains run only for the first packet of a flow; where the kernel
//! marked a packet as ESTABLISHED, our NAT chains are left out of the comparison. Everything else is compared as it is.

mod common;

use common::Wire;
use pcap_file::pcap::PcapReader;
use stack::{
    CsumState, Family, Hook, IfIndex, NetFeatures, PacketId, SkBuff, SocketId, Stack, StackConfig,
    TraceLog, Verdict,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// The chains that each packet visited, in order of the packets' first chain.
type Visits = Rc<RefCell<Vec<(PacketId, Vec<String>)>>>;

fn data(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/oracle")
        .join(path)
}

/// A base chain of the ruleset.
#[derive(Debug, PartialEq)]
struct Chain {
    name: String,
    family: String,
    kind: String,
    hook: Hook,
    device: Option<String>,
    priority: i32,
}

/// The base chains of an nft ruleset as `nft list` writes it: one statement a line.
fn base_chains(ruleset: &str) -> Vec<Chain> {
    let (mut family, mut table, mut chain) = (String::new(), String::new(), String::new());
    let mut chains = Vec::new();
    for line in ruleset.lines() {
        let line = line.trim().replace([';', '"'], "");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["table", f, t, "{"] => (family, table) = (f.to_owned(), t.to_owned()),
            ["chain", c, "{"] => chain = c.to_owned(),
            ["type", kind, "hook", hook, ref rest @ ..] => {
                let (device, priority) = match rest {
                    ["device", d, "priority", p] => (Some((*d).to_owned()), p),
                    ["priority", p] => (None, p),
                    _ => panic!("cannot read {line:?}"),
                };
                let hook = match hook {
                    "ingress" => Hook::NetdevIngress,
                    "prerouting" => Hook::PreRouting,
                    "input" => Hook::LocalIn,
                    "forward" => Hook::Forward,
                    "output" => Hook::LocalOut,
                    "postrouting" => Hook::PostRouting,
                    "egress" => Hook::NetdevEgress,
                    other => panic!("unknown hook {other}"),
                };
                chains.push(Chain {
                    name: format!("{table}/{chain}"),
                    family: family.clone(),
                    kind: kind.to_owned(),
                    hook,
                    device,
                    priority: priority.parse().unwrap(),
                });
            }
            _ => {}
        }
    }
    chains
}

/// The router `r` of the recordings.
struct Router {
    stack: Stack,
    devices: BTreeMap<&'static str, (IfIndex, Rc<RefCell<Wire>>)>,
    visits: Visits,
    nat: Vec<String>,
    log: Rc<RefCell<TraceLog>>,
}

impl Router {
    fn new() -> Self {
        let mut stack = Stack::new(StackConfig {
            ip_forward: true,
            ipv6: false,
            ..StackConfig::default()
        });
        let mut devices = BTreeMap::new();
        for (name, net) in [("eth_c", 1), ("eth_s", 2)] {
            let wire = Wire::new([2, 0, 0, 0, net, 1]);
            // veth computes no checksums: it hands them on as they are.
            wire.borrow_mut().features = NetFeatures {
                hw_csum: true,
                rx_csum: true,
                ..NetFeatures::default()
            };
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            stack
                .add_addr(dev, format!("10.0.{net}.1/24").parse().unwrap())
                .unwrap();
            stack.add_neighbour(
                dev,
                format!("10.0.{net}.2").parse().unwrap(),
                [2, 0, 0, 0, net, 2],
            );
            devices.insert(name, (dev, wire));
        }
        let chains = base_chains(&fs::read_to_string(data("base.nft")).unwrap());
        assert_eq!(chains.len(), 25, "{chains:#?}");
        let nat = chains
            .iter()
            .filter(|c| c.kind == "nat")
            .map(|c| c.name.clone())
            .collect();
        let visits = Visits::default();
        for chain in chains {
            let visits = Rc::clone(&visits);
            let device = chain.device.as_deref().map(|name| devices[name].0);
            let only_ipv4 = chain.family == "ip";
            let name = chain.name.clone();
            let record = move |skb: &mut SkBuff, state: &stack::HookState| {
                let here = if state.hook == Hook::NetdevEgress {
                    state.oif
                } else {
                    state.iif
                };
                if device.is_some_and(|d| here != Some(d))
                    || (only_ipv4 && state.family != Family::Ipv4)
                {
                    return Verdict::Accept;
                }
                let mut visits = visits.borrow_mut();
                match visits.iter_mut().find(|v| v.0 == skb.id) {
                    Some(v) => v.1.push(name.clone()),
                    None => visits.push((skb.id, vec![name.clone()])),
                }
                Verdict::Accept
            };
            stack.nf_register_hook(chain.hook, chain.priority, &chain.name, Box::new(record));
        }
        let log = Rc::new(RefCell::new(TraceLog::default()));
        stack.set_tracer(Box::new(Rc::clone(&log)));
        Self {
            stack,
            devices,
            visits,
            nat,
            log,
        }
    }

    /// Injects the recorded frames in time order; `echo` answers `R` + payload as the recording's program did.
    fn replay(&mut self, scenario: &str, echo: Option<SocketId>) {
        let mut frames: Vec<(Duration, &str, Vec<u8>)> = Vec::new();
        for &name in self.devices.keys() {
            let read = read_pcap(&format!("{scenario}/in_{name}.pcap"));
            frames.extend(read.into_iter().map(|(at, bytes)| (at, name, bytes)));
        }
        frames.sort();
        assert!(!frames.is_empty());
        let mut now = 0;
        for (_, name, frame) in frames {
            // The sender left the checksum to its device, and veth did not fill it in: the field holds the pseudo header's sum. The
            // kernel knew that from `ip_summed`, which a capture does not hold.
            assert_eq!(
                frame[40..42],
                pseudo_header_sum(&frame).to_be_bytes(),
                "not CHECKSUM_PARTIAL after all"
            );
            now += 1_000_000;
            let (dev, wire) = &self.devices[name];
            wire.borrow_mut().rx.push_back((
                frame,
                CsumState::Partial {
                    start: 34,
                    offset: 6,
                },
            ));
            self.stack.napi_schedule(*dev);
            while self.stack.net_rx_action(now) {}
            if let Some(socket) = echo {
                while let Some(datagram) = self.stack.udp_recv_from(socket) {
                    let answer = [b"R", datagram.payload()].concat();
                    self.stack
                        .udp_send_to(socket, datagram.src, &answer, now)
                        .unwrap();
                }
            }
        }
    }

    fn compare(&self, scenario: &str, made_here: &[&str]) {
        let meta: serde_json::Value = serde_json::from_str(
            &fs::read_to_string(data(&format!("{scenario}/meta.json"))).unwrap(),
        )
        .unwrap();
        let kernel = meta["packets"].as_array().unwrap();
        let visits = self.visits.borrow();
        assert_eq!(visits.len(), kernel.len(), "number of packets");
        for ((_, ours), theirs) in visits.iter().zip(kernel) {
            let theirs = theirs.as_array().unwrap();
            let established = theirs.iter().any(|at| {
                at["notes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|note| note.as_str() == Some("ct=ESTABLISHED"))
            });
            let theirs: Vec<&str> = theirs
                .iter()
                .map(|at| at["chain"].as_str().unwrap())
                .collect();
            let ours: Vec<&str> = ours
                .iter()
                .filter(|name| !(established && self.nat.contains(name)))
                .map(String::as_str)
                .collect();
            assert_eq!(ours, theirs);
        }
        for (&name, (_, wire)) in &self.devices {
            let theirs = read_pcap(&format!("{scenario}/out_{name}.pcap"));
            let ours = wire.borrow();
            assert_eq!(ours.tx.len(), theirs.len(), "frames out of {name}");
            for (ours, (_, theirs)) in ours.tx.iter().zip(theirs) {
                if made_here.contains(&name) {
                    // Linux draws the identification of its own packets: it is left out, and the header checksum with it.
                    assert_eq!(masked(ours), masked(&theirs));
                } else {
                    assert_eq!(*ours, theirs);
                }
            }
        }
    }

    fn journeys(&self) -> String {
        let mut lines: BTreeMap<PacketId, Vec<String>> = BTreeMap::new();
        for (id, _, stage) in &self.log.borrow().events {
            lines.entry(*id).or_default().push(stage.to_string());
        }
        lines
            .values()
            .map(|stages| stages.join("\n"))
            .collect::<Vec<_>>()
            .join("\n\n")
    }
}

fn read_pcap(path: &str) -> Vec<(Duration, Vec<u8>)> {
    // A file that is missing saw no frame.
    let Ok(file) = File::open(data(path)) else {
        return Vec::new();
    };
    let mut reader = PcapReader::new(file).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        frames.push((packet.timestamp, packet.data.into_owned()));
    }
    frames
}

fn pseudo_header_sum(frame: &[u8]) -> u16 {
    let mut sum = 17 + u32::from(u16::from_be_bytes([frame[38], frame[39]]));
    for pair in frame[26..34].chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    (sum % 0xffff) as u16
}

fn masked(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[18..20].fill(0);
    frame[24..26].fill(0);
    frame
}

#[test]
fn ingress_local() {
    let mut router = Router::new();
    let echo = router
        .stack
        .udp_bind("0.0.0.0".parse().unwrap(), 9)
        .unwrap();
    router.replay("01_local_delivery_udp", Some(echo));
    router.compare("01_local_delivery_udp", &["eth_c"]);
    insta::assert_snapshot!("ingress_local", router.journeys());
}

#[test]
fn forward() {
    let mut router = Router::new();
    router.replay("02_forward_udp", None);
    router.compare("02_forward_udp", &[]);
    insta::assert_snapshot!("forward", router.journeys());
}

#[test]
fn egress() {
    let mut router = Router::new();
    let socket = router
        .stack
        .udp_bind("0.0.0.0".parse().unwrap(), 40000)
        .unwrap();
    router
        .stack
        .udp_send_to(socket, "10.0.2.2:9".parse().unwrap(), b"hi", 0)
        .unwrap();
    router.replay("03_local_out_udp", None);
    router.compare("03_local_out_udp", &["eth_s"]);
    assert_eq!(
        router.stack.udp_recv_from(socket).unwrap().payload(),
        b"Rhi"
    );
    insta::assert_snapshot!("egress", router.journeys());
}
