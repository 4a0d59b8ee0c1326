//! Which frames netfilter's egress hook sees of those that something sent elsewhere: tc's actions, an ifb, and nft's own fwd and dup. Counted by
//! the kernel and here.

use crate::common::Wire;
use crate::live::{Namespace, assert_same, kernel};
use crate::peers;
use stack::af_packet::{PacketSocketType, SockAddrLl};
use stack::{CsumState, IfIndex, Stack, StackConfig};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

/// Each has a cable of its own, whose other end is `to_c` and so on.
const DEVICES: [&str; 3] = ["eth_c", "eth_s", "eth_m"];

/// Both sides are configured by these.
const CONFIGURED: [&str; 11] = [
    "ip link add ifb0 type ifb",
    "ip link set ifb0 up",
    "ip addr add 192.0.2.20/24 dev eth_c",
    "ip addr add 198.51.100.1/24 dev eth_s",
    "ip neigh add 198.51.100.30 lladdr 02:00:00:00:00:0a dev eth_s nud permanent",
    "tc qdisc add dev eth_c clsact",
    "tc filter add dev eth_c egress protocol 0x1234 prio 1 u32 match u32 0 0 action mirred egress mirror dev eth_m pipe action mirred egress redirect dev eth_s",
    "tc filter add dev eth_c egress protocol 0x1235 prio 2 u32 match u32 0 0 action mirred egress redirect dev ifb0",
    "tc filter add dev eth_c ingress protocol 0x1236 prio 1 u32 match u32 0 0 action mirred egress redirect dev eth_s",
    "tc filter add dev eth_c ingress protocol 0x1237 prio 2 u32 match u32 0 0 action mirred ingress redirect dev eth_m",
    "tc filter add dev eth_c ingress protocol ip prio 3 u32 match ip protocol 17 0xff action mirred egress redirect dev ifb0",
];

/// What leaves through each device, and what nft itself sends elsewhere.
fn ruleset() -> String {
    // What is forwarded comes past here, whatever egress sees of it.
    let mut text = "table ip f {
        chain c { type filter hook forward priority 0; ip protocol { 17, 200 } counter; }
        }
        table netdev t {\n"
        .to_owned();
    for dev in DEVICES {
        let _ = writeln!(
            text,
            "chain out_{dev} {{ type filter hook egress device {dev} priority 0; policy accept;"
        );
        for protocol in PROTOCOLS {
            let _ = writeln!(text, "meta protocol {protocol:#06x} counter");
        }
        let _ = writeln!(text, "ip protocol udp counter\nip protocol 200 counter\n}}");
    }
    text.push_str(
        "chain in_c { type filter hook ingress device eth_c priority 0; policy accept;
        meta protocol 0x1238 fwd to eth_s
        meta protocol 0x1239 dup to eth_m
        }
        chain in_m { type filter hook ingress device eth_m priority 0; policy accept;
        meta protocol 0x1237 counter fwd to eth_s
        }
        }\n",
    );
    text
}

const PROTOCOLS: [u16; 6] = [0x1234, 0x1235, 0x1236, 0x1237, 0x1238, 0x1239];

/// Frames from the host through `eth_c` and from its other end, `to_c`. The last two are forwarded: one by way of the ifb, one straight.
fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let header = [2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0x0a];
    let frame = |protocol: u16, payload: &[u8]| {
        let mut bytes = header.to_vec();
        bytes.extend(protocol.to_be_bytes());
        bytes.extend(payload);
        bytes.resize(60, 0);
        bytes
    };
    let ip = |protocol: u8| {
        let mut header = [
            0x45, 0, 0, 28, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 10,
        ];
        header[10..12].copy_from_slice(&[0; 2]);
        let mut packet = header.to_vec();
        packet.extend([198, 51, 100, 30, 0, 5, 0, 9, 0, 8, 0, 0]);
        let check = stack::checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&check.to_be_bytes());
        frame(0x0800, &packet)
    };
    let mut frames = vec![("eth_c", frame(0x1234, &[])), ("eth_c", frame(0x1235, &[]))];
    frames.extend(PROTOCOLS[2..].iter().map(|p| ("to_c", frame(*p, &[]))));
    frames.extend([17, 200].map(|protocol| ("to_c", ip(protocol))));
    frames
}

const SEND: &str = "
import socket, sys
for line in sys.stdin:
    dev, frame = line.split()
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    cable.bind((dev, 0))
    cable.send(bytes.fromhex(frame))
";

/// Runs `lines`; what is missing for that, if something is.
fn configure(ns: &Namespace, lines: &[String]) -> Result<(), String> {
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        ns.run(&words, "").map_err(|e| format!("{line}: {e}"))?;
    }
    Ok(())
}

fn kernels(rules: &str) -> Option<String> {
    let ns = kernel()?;
    let mut lines = vec![
        "python3 -c pass".to_owned(),
        "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=1".to_owned(),
    ];
    for (n, dev) in (1..).zip(DEVICES) {
        let to = dev.replace("eth", "to");
        lines.push(format!(
            "ip link add {dev} address 02:00:00:00:{n:02x}:01 type veth peer name {to}"
        ));
        lines.push(format!("ip link set {dev} up"));
        lines.push(format!("ip link set {to} up"));
    }
    lines.extend(CONFIGURED.map(str::to_owned));
    if let Err(missing) = configure(&ns, &lines) {
        peers::skip(&["netns", "nft", "python3", "tc", "ifb"], &missing);
        return None;
    }
    ns.run(&["nft", "-f", "-"], rules)
        .unwrap_or_else(|e| panic!("{e}\n{rules}"));
    let mut lines = String::new();
    for (dev, frame) in frames() {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(lines, "{dev} {hex}");
    }
    ns.run(&["python3", "-c", SEND], &lines).unwrap();
    // An ifb has a tasklet, which a busy machine may put off.
    std::thread::sleep(std::time::Duration::from_millis(200));
    Some(ns.run(&["nft", "list", "ruleset"], "").unwrap())
}

fn ours(rules: &str) -> String {
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ipv6: false,
        ..StackConfig::default()
    });
    let mut devices: Vec<(IfIndex, Rc<RefCell<Wire>>)> = Vec::new();
    for (n, name) in (1..).zip(DEVICES) {
        let wire = Wire::new([2, 0, 0, 0, n, 1]);
        devices.push((stack.add_device(name, Box::new(Rc::clone(&wire))), wire));
    }
    for line in CONFIGURED {
        let done = match line.starts_with("tc ") {
            true => stack.tc(line),
            false => stack.ip(line),
        };
        done.unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    stack.nft(rules).unwrap_or_else(|e| panic!("{e}\n{rules}"));
    let (dev, wire) = &devices[0];
    let socket = stack.packet_socket(PacketSocketType::Raw, 0);
    for (from, frame) in frames() {
        match from {
            "to_c" => wire.borrow_mut().rx.push_back((frame, CsumState::None)),
            _ => {
                let to = SockAddrLl::to(*dev, 0, [0; 6]);
                stack.packet_send_to(socket, Some(&to), &frame, 0).unwrap();
            }
        }
        stack.napi_schedule(*dev);
        while stack.net_rx_action(0) {}
    }
    stack.nft("list ruleset").unwrap()
}

/// What kernel 6.18 counted.
const EXPECTED: &str = include_str!("../data/nft/redirected.expected");

#[test]
fn what_was_sent_elsewhere_is_counted_as_recorded() {
    assert_same("counters", &ours(&ruleset()), EXPECTED);
}

#[test]
fn the_kernel_counts_the_same_of_what_was_sent_elsewhere() {
    if let Some(theirs) = kernels(&ruleset()) {
        assert_same("counters", &theirs, EXPECTED);
    }
}
