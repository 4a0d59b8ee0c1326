//! The two ends of a veth: what Linux 6.18 saw at them (`data/veth/record.py`).

use crate::common::{Host, SEC};
use stack::{IfIndex, PacketSocketType, PktType, SockAddrLl, SocketId, StackConfig, StackError};

/// Lines, and what the kernel saw after each of them.
const FRAMES: &str = include_str!("../data/veth/frames.txt");
const ETH_P_ALL: u16 = 3;
const RESULTS: [&str; 4] = ["out ", "in ", "counted ", "error"];

/// With zeros as in the recording.
fn masked(frame: &[u8]) -> String {
    let mut frame = frame.to_vec();
    if frame[12..14] == [8, 0] {
        let mut zeros = vec![18, 24];
        match (frame[23], frame[34]) {
            (17, _) => zeros.push(40),
            // An error quotes a header.
            (1, 3 | 11) => zeros.extend([36, 46, 52]),
            _ => {}
        }
        for at in zeros {
            frame[at..at + 2].fill(0);
        }
    }
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What the packet socket saw since it was asked the last time.
fn seen(host: &mut Host, tap: SocketId) -> Vec<String> {
    while host.stack.net_rx_action(host.now) {}
    let mut seen = Vec::new();
    while let Some(frame) = host.stack.packet_recv_from(tap) {
        let (way, kind) = match frame.addr.pkttype {
            PktType::Outgoing => ("out", "outgoing"),
            PktType::Host => ("in", "host"),
            PktType::Broadcast => ("in", "broadcast"),
            PktType::Multicast => ("in", "multicast"),
            PktType::OtherHost => ("in", "otherhost"),
        };
        let name = host.stack.device_name(frame.addr.ifindex).unwrap_or("?");
        if name.starts_with('v') {
            seen.push(format!("{way} {name} {kind} {}", masked(frame.payload())));
        }
    }
    seen
}

fn counted(host: &Host, name: &str) -> String {
    let dev = host.stack.device_by_name(name).unwrap();
    let s = host.stack.link_stats(dev).unwrap();
    let rx = format!("{} {} {}", s.rx_packets, s.rx_bytes, s.rx_dropped);
    let tx = format!("{} {} {}", s.tx_packets, s.tx_bytes, s.tx_dropped);
    format!("counted {name} rx {rx} tx {tx}")
}

fn send(host: &mut Host, name: &str, frame: &[u8]) -> Result<usize, StackError> {
    let dev = host.stack.device_by_name(name).unwrap_or(IfIndex(99));
    let socket = host.stack.packet_socket(PacketSocketType::Raw, 0);
    let to = SockAddrLl::to(dev, 0, [0; 6]);
    let now = host.now;
    let sent = host.stack.packet_send_to(socket, Some(&to), frame, now);
    host.stack.packet_close(socket).unwrap();
    sent
}

#[test]
fn what_passes_between_both_ends() {
    let mut host = Host::new(StackConfig::default());
    let tap = host.stack.packet_socket(PacketSocketType::Raw, ETH_P_ALL);
    let (mut lines, mut compared) = (FRAMES.lines().peekable(), 0);
    while let Some(line) = lines.next() {
        let mut expected: Vec<&str> = Vec::new();
        while let Some(result) = lines.next_if(|l| RESULTS.iter().any(|r| l.starts_with(r))) {
            expected.push(result);
        }
        // The kernel also tells a packet socket that the frame was lost on the way.
        if expected.len() > 1 {
            expected.retain(|result| *result != "error");
        }
        compared += expected.len();
        let mut ours = Vec::new();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ip", ..] => assert_eq!(host.stack.ip(&line[3..]), Ok(String::new()), "{line}"),
            ["sysctl", ..] => assert_eq!(host.stack.sysctl(&line[7..]), Ok(String::new())),
            ["wait", seconds] => {
                let wait: f64 = seconds.parse().unwrap();
                let until = host.now + (wait * SEC as f64) as u64;
                host.run_until(until);
            }
            ["stats", name] => ours.push(counted(&host, name)),
            ["udp", from, port, to, to_port, text] => {
                let socket = host
                    .stack
                    .udp_bind(from.parse().unwrap(), port.parse().unwrap())
                    .unwrap();
                let to = format!("{to}:{to_port}").parse().unwrap();
                let now = host.now;
                host.stack
                    .udp_send_to(socket, to, text.as_bytes(), now)
                    .unwrap();
                host.stack.udp_close(socket).unwrap();
            }
            ["send", name, frame] => {
                if send(&mut host, name, &bytes(frame)).is_err() {
                    ours.push("error".to_owned());
                }
            }
            _ => assert!(line.starts_with('#'), "{line}"),
        }
        ours.extend(seen(&mut host, tap));
        assert_eq!(ours, expected, "{line}");
    }
    assert!(compared > 40, "{compared}");
    host.stack.packet_close(tap).unwrap();
    host.assert_balanced();
}

/// Rules keep a name and, as 6.18 listed it, the number of a device that is gone.
#[test]
fn rules_outlive_a_device() {
    let mut host = Host::new(StackConfig::default());
    let stack = &mut host.stack;
    stack.ip("link add v0 type veth peer name v1").unwrap();
    let number = stack.device_by_name("v0").unwrap();
    let rules = "table netdev t { chain c { type filter hook ingress device \"v0\" priority 0; counter; }; };
        table ip t { chain c { iif v0 accept; iifname v0 accept; }; }";
    stack.nft(rules).unwrap();
    let listed = |stack: &mut stack::Stack| stack.nft("list ruleset").unwrap();
    let before = listed(stack);
    assert!(before.contains("iif \"v0\" accept"), "{before}");
    stack.ip("link del v0").unwrap();
    let gone = before.replace("iif \"v0\"", &format!("iif {number}"));
    assert_eq!(listed(stack), gone);
    // Another one of the name has another number; the chain is at it.
    stack.ip("link add v0 type veth peer name v1").unwrap();
    assert_ne!(stack.device_by_name("v0"), Some(number));
    assert_eq!(listed(stack), gone);
    stack.ip("link set v0 up").unwrap();
    stack.ip("link set v1 up").unwrap();
    let before = stack.stats().polls;
    send(&mut host, "v1", &[0xff; 60]).unwrap();
    while host.stack.net_rx_action(host.now) {}
    assert!(host.stack.stats().polls > before);
    let counted = listed(&mut host.stack);
    assert!(!counted.contains("counter packets 0"), "{counted}");
    host.assert_balanced();
}

/// `vlan_device_event()`, `dev_shutdown()`: with a device go the VLANs on it, what waits in its queue and what filters it.
#[test]
fn what_goes_with_a_device() {
    let mut host = Host::new(StackConfig::default());
    for line in [
        "link add v0 type veth peer name v1",
        "link set v0 up",
        "link set v1 up",
        "link add link v0 name v0.5 type vlan id 5",
        "link set v0.5 up",
        "addr add 10.5.0.1/24 dev v0.5",
        "addr add 10.6.0.1/24 dev v0",
    ] {
        host.stack.ip(line).unwrap();
    }
    host.stack
        .tc("qdisc add dev v0 root tbf rate 8kbit burst 100 limit 5000")
        .unwrap();
    host.stack.tc("qdisc add dev v0 clsact").unwrap();
    for _ in 0..5 {
        send(&mut host, "v0", &[0xff; 60]).unwrap();
    }
    assert!(host.stack.stats().held > 0, "nothing waits");
    host.stack.ip("link del v0").unwrap();
    assert_eq!(host.stack.stats().held, 0);
    let left =
        host.stack.ip("addr show").unwrap() + &host.stack.ip("route show table all").unwrap();
    assert!(!left.contains("v0") && !left.contains("v1"), "{left}");
    assert!(!host.stack.tc("qdisc show").unwrap().contains("v0"));
    let until = host.now + 60 * SEC;
    host.run_until(until);
    host.assert_balanced();
    for dev in ["lo", "eth0", "v0"] {
        assert!(host.stack.ip(&format!("link del {dev}")).is_err(), "{dev}");
    }
}
