//! Raw and packet sockets against those of the kernel of this machine: the same sockets, the same frames and messages, and each socket must see
//! the same packets in the same order, with the same bytes and addresses.
//!
//! Needs root, iproute2 and Python 3; skips without.

mod common;
mod peers;

use common::{MAC, PEER, Wire};
use etherparse::{IpNumber, PacketBuilder};
use peers::skip;
use stack::af_packet::{PacketSocketType, SockAddrLl};
use stack::{
    Datagram, Icmp6Filter, IcmpFilter, IfIndex, PacketFrame, PktType, SocketId, Stack, StackConfig,
};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

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

/// A packet from the neighbour, of protocol 200 unless said otherwise.
fn ip4(dst: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC).ipv4([192, 0, 2, 10], dst, 64);
    let mut bytes = Vec::new();
    builder
        .write(&mut bytes, IpNumber(protocol), payload)
        .unwrap();
    bytes
}

/// The same with IPv6, `next_header` first.
fn ip6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut bytes = [&MAC[..], &PEER, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next_header, 64]);
    bytes.extend([address("fd00:9::1"), address("fd00:9::2")].concat());
    bytes.extend(payload);
    bytes
}

fn pings() -> [Vec<u8>; 2] {
    let mut four = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
        .icmpv4_echo_request(7, 1);
    builder.write(&mut four, b"ping").unwrap();
    let mut six = Vec::new();
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .ipv6(address("fd00:9::1"), address("fd00:9::2"), 64)
        .icmpv6_echo_request(7, 1);
    builder.write(&mut six, b"ping").unwrap();
    [four, six]
}

/// A frame with other MAC addresses of the receiver.
fn to(mac: [u8; 6], mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}

fn tagged(tci: u16, frame: Vec<u8>) -> Vec<u8> {
    let tag = [&[0x81, 0], &tci.to_be_bytes()[..]].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

fn other(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&MAC[..], &PEER, &ethertype.to_be_bytes(), payload].concat()
}

/// Two fragments of one packet of protocol 200.
fn fragments() -> [Vec<u8>; 2] {
    let cut = |field: u16, payload: &[u8]| {
        let mut frame = ip4([192, 0, 2, 20], 200, payload);
        frame[18..20].copy_from_slice(&[0x12, 0x34]);
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        let (header, _) = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap();
        frame[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
        frame
    };
    [cut(0x2000, b"01234567"), cut(1, b"89")]
}

/// What happens, a line each; `in`: a frame comes.
fn scenario() -> Vec<String> {
    let here = [192, 0, 2, 20];
    let [ping4, ping6] = pings();
    let mut lines: Vec<String> = [
        "open all packet raw 0003 -",
        "open inner packet dgram 0003 eth_c",
        "open ip packet dgram 0800 -",
        "open lower packet raw 0800 eth_c",
        "open odd packet raw 88b5 -",
        "open four raw4 200",
        "open six raw6 200",
        "open icmp raw4 1",
        "open replies raw4 1",
        "filter replies fffffffe",
        "open icmp6 raw6 58",
        "filter icmp6 129",
        "open options raw6 60",
        "open summed raw6 202",
        "checksum summed 2",
        "open bound raw4 200",
        "bind bound 127.0.0.1",
        "open peer raw4 200",
        "connect peer 192.0.2.10",
        "open header raw4 255",
    ]
    .map(str::to_owned)
    .to_vec();
    let dest = [200, 0, 1, 4, 0, 0, 0, 0];
    let arp = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &PEER,
        &[192, 0, 2, 10],
        &[0; 6],
        &here,
    ]
    .concat();
    let frames = [
        ping4.clone(),
        ping6,
        // To somebody else, to everybody, to a group.
        to([2, 0, 0, 0, 0, 0x77], ping4.clone()),
        to([0xff; 6], other(0x0806, &arp)),
        to([1, 0x80, 0xc2, 0, 0, 0x21], other(0x88b5, b"grouped")),
        other(0x88b5, b"odd"),
        other(0x88b6, b"nobody's"),
        // 802.3: a length.
        other(10, b"0123456789"),
        ip4(here, 200, b"raw"),
        to([0xff; 6], ip4([192, 0, 2, 255], 200, b"to all")),
        // Nobody takes it: protocol unreachable goes out.
        ip4(here, 201, b"unknown"),
        ip6(200, b"raw6"),
        ip6(60, &[&dest[..], b"behind"].concat()),
        ip6(201, b"unknown"),
        // A sum that is wrong.
        ip6(202, b"ab\0\0"),
        // There are no VLANs on this device; id 0 is a priority only.
        tagged(0xe007, ip4(here, 200, b"vlan")),
        tagged(0xe000, ip4(here, 200, b"priority")),
        tagged(5, other(0x88b5, b"odd vlan")),
        tagged(5, tagged(6, other(0x88b5, b"two tags"))),
    ];
    let coming = frames.into_iter().chain(fragments());
    lines.extend(coming.map(|frame| format!("in {}", hex(&frame))));
    let mut own_header = vec![0x45, 0x10, 0, 0, 0, 0, 0, 0, 9, 200, 1, 2, 0, 0, 0, 0];
    own_header.extend([192, 0, 2, 10, b'h', b'i']);
    let peer = hex(&PEER);
    let going = [
        format!("out four 192.0.2.10 {}", hex(b"out")),
        format!("out four 127.0.0.1 {}", hex(b"lo")),
        format!("out four 0.0.0.0 {}", hex(b"any")),
        format!("out four 192.0.2.10 {}", hex(&[7; 3000])),
        format!("out six fd00:9::1 {}", hex(b"out")),
        format!("out summed fd00:9::1 {}", hex(b"ab\xff\xffcd")),
        format!("out summed ::1 {}", hex(b"ab\xff\xffcd")),
        format!("out header 192.0.2.10 {}", hex(&own_header)),
        // Its own sender does not see it, the others do.
        format!(
            "out all eth_c 0000 {peer} {}",
            hex(&to(PEER, other(0x88b5, b"own")))
        ),
        format!("out inner eth_c 0800 {peer} {}", hex(&ping4[14..])),
        format!(
            "out odd eth_c 88b5 {peer} {}",
            hex(&to(PEER, other(0x88b5, b"odd")))
        ),
        format!("out odd lo 0000 {peer} {}", hex(&other(0x88b5, b"lo"))),
        // Hooks: INPUT comes before raw sockets, ingress before those of one EtherType, egress before all that goes out. IP's OUTPUT does not
        // see what a packet socket sends.
        "nft add table ip t".to_owned(),
        "nft add chain ip t in { type filter hook input priority 0; }".to_owned(),
        "nft add rule ip t in ip protocol 200 drop".to_owned(),
        "nft add chain ip t out { type filter hook output priority 0; }".to_owned(),
        "nft add rule ip t out ip protocol 200 drop".to_owned(),
        format!("in {}", hex(&ip4(here, 200, b"dropped at input"))),
        format!(
            "out inner eth_c 0800 {peer} {}",
            hex(&ip4(here, 200, b"past output")[14..])
        ),
        "nft flush ruleset".to_owned(),
        "nft add table netdev t".to_owned(),
        "nft add chain netdev t in { type filter hook ingress device eth_c priority 0; }"
            .to_owned(),
        "nft add rule netdev t in ether type 0x88b5 drop".to_owned(),
        format!("in {}", hex(&other(0x88b5, b"dropped at ingress"))),
        "nft add chain netdev t out { type filter hook egress device eth_c priority 0; }"
            .to_owned(),
        "nft add rule netdev t out meta protocol 0x88b5 drop".to_owned(),
        format!(
            "out odd eth_c 88b5 {peer} {}",
            hex(&to(PEER, other(0x88b5, b"dropped")))
        ),
        "nft flush ruleset".to_owned(),
        "close four".to_owned(),
        "close peer".to_owned(),
        // The only one left is bound to another address.
        format!("in {}", hex(&ip4(here, 200, b"gone"))),
    ];
    lines.extend(going);
    lines
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

/// The namespace of the kernel's side, which goes with this.
struct Netns(String);

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// What the kernel's sockets see; `Err`: what is missing for that here.
fn kernel(lines: &[String]) -> Result<Vec<String>, String> {
    let run = |words: &[&str]| {
        let output = Command::new("ip").args(words).output();
        let output = output.map_err(|e| format!("no iproute2: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "{words:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    };
    let netns = Netns(format!("wirepath-sockets-{}", std::process::id()));
    run(&["netns", "add", &netns.0])?;
    let within = |line: &str| {
        let mut words = vec!["netns", "exec", &netns.0];
        words.extend(line.split_whitespace());
        run(&words)
    };
    within("ip link add eth_c address 02:00:00:00:00:0b type veth peer name to_c")?;
    within("python3 -c pass")?;
    let devices = [
        // Nothing is to be sent that nobody asked for.
        "sysctl -qw net.ipv6.conf.to_c.disable_ipv6=1 net.ipv6.auto_flowlabels=0",
        "sysctl -qw net.ipv6.conf.eth_c.addr_gen_mode=1",
        "ip link set eth_c multicast off",
        "ip link set to_c up",
        "ip link set eth_c up",
    ];
    let ip = CONFIGURED.map(|line| format!("ip {line}"));
    for line in devices.iter().copied().chain(ip.iter().map(String::as_str)) {
        within(line).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sockets/observe.py");
    let mut child = Command::new("ip")
        .args(["netns", "exec", &netns.0, "python3"])
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it ran before");
    let mut stdin = child.stdin.take().expect("piped");
    let text = lines.join("\n");
    std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let text = String::from_utf8(output.stdout).expect("text");
    Ok(text.lines().map(masked).collect())
}

/// This project's side of `observe.py`.
struct Ours {
    stack: Stack,
    wire: Rc<RefCell<Wire>>,
    dev: IfIndex,
    sockets: Vec<(String, String, SocketId)>,
    seen: Vec<String>,
}

impl Ours {
    fn new() -> Self {
        let mut stack = Stack::new(StackConfig::default());
        let wire = Wire::new(MAC);
        let dev = stack.add_device("eth_c", Box::new(Rc::clone(&wire)));
        for line in CONFIGURED {
            stack.ip(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        Self {
            stack,
            wire,
            dev,
            sockets: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn device(&self, name: &str) -> IfIndex {
        let devices = (1..).map(IfIndex);
        let mut named = devices.take_while(|d| self.stack.device_name(*d).is_some());
        named
            .find(|d| self.stack.device_name(*d) == Some(name))
            .unwrap_or(IfIndex::NONE)
    }

    fn open(&mut self, words: &[&str]) {
        let socket = match words[1..] {
            ["packet", kind, protocol, dev] => {
                let kind = match kind {
                    "raw" => PacketSocketType::Raw,
                    _ => PacketSocketType::Dgram,
                };
                let protocol = u16::from_str_radix(protocol, 16).unwrap();
                let socket = self.stack.packet_socket(kind, protocol);
                let dev = self.device(dev);
                self.stack.packet_bind(socket, dev, 0).unwrap();
                socket
            }
            [family, protocol] => {
                let protocol = protocol.parse().unwrap();
                self.stack.raw_socket(family == "raw6", protocol).unwrap()
            }
            _ => panic!("{words:?}"),
        };
        let (name, kind) = (words[0].to_owned(), words[1].to_owned());
        self.sockets.push((name, kind, socket));
    }

    fn run(&mut self, line: &str) {
        self.seen.push(format!("# {}", &line[..line.len().min(60)]));
        if let Some(commands) = line.strip_prefix("nft ") {
            self.stack.nft(commands).unwrap();
            return;
        }
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "open" {
            return self.open(&words[1..]);
        }
        let found = self.sockets.iter().position(|s| s.0 == words[1]);
        let (kind, socket) = found.map_or((String::new(), None), |at| {
            (self.sockets[at].1.clone(), Some(self.sockets[at].2))
        });
        let stack = &mut self.stack;
        match (words[0], kind.as_str(), socket, &words[2..]) {
            ("filter", "raw4", Some(socket), [data]) => {
                let data = u32::from_str_radix(data, 16).unwrap();
                stack
                    .raw_set_icmp_filter(socket, IcmpFilter { data })
                    .unwrap();
            }
            ("filter", _, Some(socket), [kind]) => {
                let filter = Icmp6Filter::BLOCK_ALL.pass(kind.parse().unwrap());
                stack.raw_set_icmp6_filter(socket, filter).unwrap();
            }
            ("checksum", _, Some(socket), [at]) => {
                let at = at.parse().unwrap();
                stack.raw_set_checksum(socket, Some(at)).unwrap();
            }
            ("bind", _, Some(socket), [addr]) => {
                stack.raw_bind(socket, addr.parse().unwrap()).unwrap();
            }
            ("connect", _, Some(socket), [addr]) => {
                stack.raw_connect(socket, addr.parse().unwrap()).unwrap();
            }
            ("close", _, Some(socket), []) => {
                stack.raw_close(socket).unwrap();
                self.sockets.retain(|s| s.2 != socket);
            }
            ("in", ..) => {
                let frame = (unhex(words[1]), stack::CsumState::None);
                self.wire.borrow_mut().rx.push_back(frame);
                stack.napi_schedule(self.dev);
            }
            ("out", "packet", Some(socket), [dev, protocol, addr, data]) => {
                let protocol = u16::from_str_radix(protocol, 16).unwrap();
                let mut mac = [0; 6];
                mac.copy_from_slice(&unhex(addr));
                let to = SockAddrLl::to(self.device(dev), protocol, mac);
                self.stack
                    .packet_send_to(socket, Some(&to), &unhex(data), 0)
                    .unwrap();
            }
            ("out", _, Some(socket), [addr, data]) => {
                let addr: IpAddr = addr.parse().unwrap();
                stack
                    .raw_send_to(socket, Some(addr), IfIndex::NONE, &unhex(data), 0)
                    .unwrap();
            }
            _ => panic!("{line}"),
        }
        while self.stack.net_rx_action(0) {}
        self.drain();
    }

    fn drain(&mut self) {
        for (name, kind, socket) in &self.sockets {
            if kind == "packet" {
                while let Some(frame) = self.stack.packet_recv_from(*socket) {
                    self.seen
                        .push(format!("{name} {}", packet_line(&self.stack, &frame)));
                }
            } else {
                while let Some(datagram) = self.stack.raw_recv_from(*socket) {
                    self.seen.push(format!("{name} {}", raw_line(&datagram)));
                }
            }
        }
    }
}

fn packet_line(stack: &Stack, frame: &PacketFrame) -> String {
    let kind = match frame.addr.pkttype {
        PktType::Host => "host",
        PktType::Broadcast => "broadcast",
        PktType::Multicast => "multicast",
        PktType::OtherHost => "otherhost",
        PktType::Outgoing => "outgoing",
    };
    let vlan = frame.vlan.map_or_else(
        || "-".to_owned(),
        |vlan| format!("{:04x}:{:04x}", vlan.proto, vlan.tci),
    );
    let dev = stack.device_name(frame.addr.ifindex).unwrap_or("?");
    let (protocol, hatype) = (frame.addr.protocol, frame.addr.hatype);
    let (addr, data) = (hex(&frame.addr.addr), hex(frame.payload()));
    format!("{dev} {kind} {protocol:04x} {hatype} {vlan} {addr} {data}")
}

fn raw_line(datagram: &Datagram) -> String {
    format!("{} {}", datagram.src.ip(), hex(datagram.payload()))
}

#[test]
fn sockets_see_what_the_kernels_see() {
    let lines = scenario();
    let expected = match kernel(&lines) {
        Ok(expected) => expected,
        Err(why) => return skip(&["netns", "ifb", "python3"], &why),
    };
    let mut ours = Ours::new();
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
