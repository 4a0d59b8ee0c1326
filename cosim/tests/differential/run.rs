//! One case through the kernel and through this stack.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use cosim::oracle::Difference;
use cosim::oracle::conntrack::compare_list;
use cosim::oracle::frame::{
    ETH_HLEN, ICMP, ICMPV6, Ip, TCP, UDP, be16, be32, differing_fields, summary,
};
use cosim::oracle::rename::{Drawn, Renaming, keys};
use cosim::oracle::wire::{Left, Wire};
use stack::netfilter::conntrack::ListOptions;
use stack::{IfIndex, PacketId, SkBuff, Stack, StackConfig, Stage, Tracer};

use super::case::{Case, DEVICES, EXACT, Own, Packet, topology};
use super::drops::Dropped;
use super::frames::{self, Header, Segment};
use super::generate::{PORTS, SETTINGS};
use super::kernel::{HASH_SEED, Kernel};
use super::programs::{Ours, Theirs};

/// Simulated time between two packets; what a kernel here takes is less.
const STEP: u64 = 1_000_000;

/// A case's outcome.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing differs; how many frames left.
    Same(usize),
    /// The kernel does not take the rules; this stack is not asked.
    Refused(String),
    /// What differs.
    Differs(Vec<Difference>),
}

/// The stack's side.
struct Here {
    stack: Stack,
    devices: Vec<(IfIndex, Rc<RefCell<Wire>>)>,
    originals: Rc<RefCell<Originals>>,
    programs: Ours,
    now: u64,
}

/// The ports of packets when they were seen first; why packets were dropped since somebody asked.
#[derive(Default)]
struct Originals(Vec<(PacketId, (u16, u16))>, Vec<&'static str>);

impl Tracer for Originals {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        let first = matches!(
            stage,
            Stage::NetifReceive | Stage::RouteOutput | Stage::Defrag
        );
        let packet = skb.network_bytes();
        if first
            && let Some(ip) = Ip::parse(packet)
            && let Some(keys) = keys(packet, &ip)
        {
            // Who answers here answers to the ports that NAT may have given the asker.
            let asked = self.0.iter().find(|(other, _)| *other == skb.parent);
            let keys = match (stage, asked) {
                (Stage::RouteOutput, Some(&(_, (sport, dport)))) if ip.protocol == TCP => {
                    (dport, sport)
                }
                _ => keys,
            };
            self.0.push((skb.id, keys));
        }
        if let Stage::Drop(reason) = stage {
            self.1.push(reason.name());
        }
        // A fragment is a part of what was there before.
        let known = |id: PacketId| self.0.iter().find(|(other, _)| *other == id);
        if stage == Stage::Xmit
            && known(skb.id).is_none()
            && let Some(&(_, keys)) = known(skb.parent)
        {
            self.0.push((skb.id, keys));
        }
    }
}

impl Here {
    fn new(case: &Case) -> Result<Self, String> {
        let mut stack = Stack::new(StackConfig {
            seed: case.seed,
            // A buffer here is as long as the longest frame.
            rmem_default: 1 << 30,
            ..StackConfig::default()
        });
        let failed = |line: &str, e: &dyn std::fmt::Display| format!("{line}: {e}");
        for setting in [
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.all.send_redirects=0",
            "net.ipv4.conf.default.send_redirects=0",
            "net.ipv4.icmp_ratemask=0",
            "net.ipv4.icmp_ratelimit=0",
            "net.ipv4.icmp_msgs_per_sec=1000000000",
            "net.ipv4.icmp_msgs_burst=1000000",
            "net.ipv6.conf.all.forwarding=1",
            HASH_SEED,
        ] {
            stack.sysctl(setting).map_err(|e| failed(setting, &e))?;
        }
        let mut devices = Vec::new();
        for (n, (name, _)) in DEVICES.into_iter().enumerate() {
            // A TAP computes no checksums.
            let wire = Wire::plain([2, 0, 0, 0, n as u8 + 1, 1]);
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            devices.push((dev, wire));
            // The kernel has none, either: who has one sends redirects.
            let link_local = format!("-6 addr del fe80::ff:fe00:{}01/64 dev {name}", n + 1);
            stack.ip(&link_local).map_err(|e| failed(&link_local, &e))?;
        }
        let originals = Rc::new(RefCell::new(Originals::default()));
        stack.set_tracer(Box::new(Rc::clone(&originals)));
        let ruleset = case.ruleset();
        stack.nft(&ruleset).map_err(|e| failed("nft -f", &e))?;
        for line in topology().iter().chain(&case.config) {
            let done = match line.starts_with("sysctl") {
                true => stack.sysctl(line),
                false => stack.ip(line),
            };
            done.map_err(|e| failed(line, &e))?;
        }
        Ok(Self {
            stack,
            devices,
            originals,
            programs: Ours::default(),
            now: STEP,
        })
    }

    fn packet(&mut self, device: usize, frame: Vec<u8>) -> Vec<(usize, Left)> {
        self.now += STEP;
        let (dev, wire) = &self.devices[device];
        wire.borrow_mut().put(frame);
        self.stack.run_timers(self.now);
        self.stack.napi_schedule(*dev);
        self.left()
    }

    fn own(&mut self, own: &Own) -> (Result<(), i32>, Vec<(usize, Left)>) {
        self.now += STEP;
        self.stack.run_timers(self.now);
        let sent = self.programs.send(&mut self.stack, own, self.now);
        (sent, self.left())
    }

    fn left(&mut self) -> Vec<(usize, Left)> {
        while self.stack.net_rx_action(self.now) {}
        let mut left = Vec::new();
        for (n, (_, wire)) in self.devices.iter().enumerate() {
            let frames = std::mem::take(&mut wire.borrow_mut().outgoing);
            left.extend(frames.into_iter().map(|f| (n, f)));
        }
        left
    }

    fn original(&self, id: PacketId) -> Option<Drawn> {
        let originals = self.originals.borrow();
        let found = originals.0.iter().find(|(other, _)| *other == id)?;
        Some(Drawn { original: found.1 })
    }
}

/// What went over the wires of the kernel so far.
#[derive(Default)]
struct Traffic {
    entered: Vec<(usize, Vec<u8>)>,
    left: Vec<(usize, Vec<u8>)>,
}

fn pick<T>(all: &[T], nth: usize) -> Option<&T> {
    match nth {
        usize::MAX => all.last(),
        _ => all.get(nth % all.len().max(1)),
    }
}

impl Traffic {
    /// The frame that a packet of a case stands for, in the kernel's numbers.
    fn frame(&self, packet: &Packet) -> Option<(usize, Vec<u8>)> {
        match packet {
            Packet::Fresh { device, frame } => Some((*device, frame.clone())),
            Packet::Again { nth, change } => {
                let (device, mut frame) = pick(&self.entered, *nth)?.clone();
                // Not IPv6's addresses, which no checksum guards: a kernel would ask for strangers for seconds to come.
                let kept = if be16(&frame, 12) == 0x86dd { 40 } else { 0 };
                let at = ETH_HLEN + kept;
                let at = at + change.0 % frame.len().saturating_sub(at).max(1);
                if let Some(byte) = frame.get_mut(at) {
                    *byte = byte.wrapping_add(change.1);
                }
                Some((device, frame))
            }
            Packet::Answer {
                nth,
                flags,
                payload,
                off,
            } => {
                let (device, frame) = pick(&self.left, *nth)?;
                let answer = Answer {
                    flags: *flags,
                    payload: *payload,
                    off: *off,
                };
                Some((*device, answer.to(*device, frame)?))
            }
            Packet::Error { nth, kind, quote } => {
                let (device, frame) = pick(&self.left, *nth)?;
                Some((*device, error(*device, frame, *kind, *quote)?))
            }
            Packet::Own(_) => None,
        }
    }
}

/// The packet in a frame, and its parts.
fn parsed(frame: &[u8]) -> Option<(&[u8], Ip)> {
    let packet = frame
        .get(ETH_HLEN..)
        .filter(|_| matches!(be16(frame, 12), 0x0800 | 0x86dd))?;
    Some((packet, Ip::parse(packet)?))
}

/// What an answer says, see [`Packet::Answer`].
struct Answer {
    flags: u16,
    payload: usize,
    off: i32,
}

impl Answer {
    fn to(&self, device: usize, frame: &[u8]) -> Option<Vec<u8>> {
        let (packet, ip) = parsed(frame)?;
        let t = ip.transport(packet);
        let (src, dst) = (ip.dst, ip.src);
        if ip.offset != 0 || t.len() < 8 {
            return None;
        }
        let transport = match ip.protocol {
            UDP => frames::udp(be16(t, 2), be16(t, 0), self.payload, b'a'),
            TCP if t.len() >= 20 => self.segment(t),
            ICMP | ICMPV6 if matches!(t[0], 8 | 128) => {
                let mut bytes = t.to_vec();
                bytes[0] = if t[0] == 8 { 0 } else { 129 };
                bytes
            }
            _ => return None,
        };
        let transport = frames::with_checksum(src, dst, ip.protocol, transport);
        let header = Header {
            protocol: ip.protocol,
            ttl: 64,
            id: 0x77,
            ..Header::default()
        };
        Some(frames::frame(device, src, dst, &header, &transport))
    }

    fn segment(&self, t: &[u8]) -> Vec<u8> {
        let header = usize::from(t[12] >> 4) * 4;
        let (seq, ack, theirs) = (be32(t, 4), be32(t, 8), t[13]);
        let took = t.len().saturating_sub(header) as u32
            + u32::from(theirs & 2 != 0)
            + u32::from(theirs & 1 != 0);
        let natural = match theirs & 0x12 {
            0x02 => 0x12,
            _ => 0x10,
        };
        // A SYN-ACK starts from a number of its own.
        let from = if natural == 0x12 {
            seq ^ 0x5a5a_5a5a
        } else {
            ack
        };
        let flags = match self.flags & EXACT {
            0 => natural | self.flags as u8,
            _ => self.flags as u8,
        };
        let segment = Segment {
            seq: from.wrapping_add_signed(self.off),
            ack: seq.wrapping_add(took),
            flags,
            options: seq as u8 & 7,
            window: 8192,
        };
        let payload = if flags & 2 != 0 { 0 } else { self.payload };
        frames::tcp(be16(t, 2), be16(t, 0), segment, payload)
    }
}

fn error(device: usize, frame: &[u8], kind: (u8, u8), quote: usize) -> Option<Vec<u8>> {
    let (packet, ip) = parsed(frame)?;
    let (src, dst) = (ip.dst, ip.src);
    let protocol = if src.is_ipv4() { ICMP } else { ICMPV6 };
    // Destination unreachable, time exceeded, parameter problem; fragmentation needed is packet too big.
    let (kind, code) = match (src.is_ipv4(), kind) {
        (true, kind) => kind,
        (false, (3, 4)) => (2, 0),
        (false, (3, 13)) => (1, 1),
        (false, (3, code)) => (1, code + 1),
        (false, (11, code)) => (3, code),
        (false, (_, code)) => (4, code),
    };
    let mtu = if (kind, code) == (3, 4) || protocol == ICMPV6 && kind == 2 {
        1300
    } else {
        0
    };
    let mut bytes = vec![kind, code, 0, 0, 0, 0];
    bytes.extend(u16::to_be_bytes(mtu));
    bytes.extend(&packet[..packet.len().min(ip.header_len + quote)]);
    let bytes = frames::with_checksum(src, dst, protocol, bytes);
    let header = Header {
        protocol,
        ttl: 64,
        tos: 0xc0,
        id: 0x78,
        ..Header::default()
    };
    Some(frames::frame(device, src, dst, &header, &bytes))
}

/// The kernel as the case wants it; what it refused.
fn prepare(kernel: &mut Kernel, case: &Case) -> io::Result<Option<String>> {
    // Filters first, then what they let through.
    let (ok, text) = kernel.feed("nft -f -", &case.ruleset())?;
    if !ok {
        return Ok(Some(text));
    }
    kernel.shell("conntrack -F")?;
    for line in &case.config {
        let (ok, text) = kernel.shell(line)?;
        if !ok {
            clean(kernel, case)?;
            return Ok(Some(format!("{line}: {text}")));
        }
    }
    Ok(None)
}

fn clean(kernel: &mut Kernel, case: &Case) -> io::Result<()> {
    for line in case.config.iter().rev() {
        kernel.shell(&undo(line))?;
    }
    kernel.shell("ip route flush cache; ip -6 route flush cache")?;
    Ok(())
}

/// What takes a line of a case's configuration back.
fn undo(line: &str) -> String {
    if line.contains(" mtu ") && line.contains(" link ") {
        let (before, _) = line.rsplit_once(' ').unwrap_or((line, ""));
        return format!("{before} 1500");
    }
    let setting = SETTINGS.iter().find(|(key, ..)| line.contains(key));
    match setting {
        Some((key, _, otherwise)) => format!("sysctl -qw {key}={otherwise}"),
        None => line.replacen(" add ", " del ", 1),
    }
}

/// Runs a case through both.
pub fn run(kernel: &mut Kernel, case: &Case) -> io::Result<Outcome> {
    let mut case = case.clone();
    if !kernel.seeded {
        // Nobody knows which way it takes.
        case.config.retain(|line| !line.contains(" nexthop "));
    }
    let case = &case;
    if let Some(refused) = prepare(kernel, case)? {
        return Ok(Outcome::Refused(refused));
    }
    // What the last case's programs left behind when they ended.
    kernel.left()?;
    kernel.dropped()?;
    let outcome = compare(kernel, case);
    kernel.programs = Theirs::default();
    clean(kernel, case)?;
    outcome
}

fn compare(kernel: &mut Kernel, case: &Case) -> io::Result<Outcome> {
    let mut here = match Here::new(case) {
        Ok(here) => here,
        Err(problem) => {
            let difference = Difference::new("configuration", "line", "was taken", problem);
            return Ok(Outcome::Differs(vec![difference]));
        }
    };
    let mut traffic = Traffic::default();
    let mut renaming = Renaming::default();
    let mut found = Vec::new();
    let mut frames = 0;
    for (n, packet) in case.packets.iter().enumerate() {
        let (place, theirs, ours);
        if let Packet::Own(own) = packet {
            let sent = kernel.own(own);
            let (here_sent, left) = here.own(own);
            place = format!("packet {} ({own})", n + 1);
            (theirs, ours) = (kernel.left()?, left);
            if sent != here_sent {
                let said = |sent: Result<(), i32>| match sent {
                    Ok(()) => "sent".to_owned(),
                    Err(code) => io::Error::from_raw_os_error(code).to_string(),
                };
                let (k, h) = (said(sent), said(here_sent));
                found.push(Difference::new(&place, "error", k, h));
            }
        } else if let Some((device, frame)) = traffic.frame(packet) {
            theirs = kernel.packet(device, &frame)?;
            ours = here.packet(device, renaming.translate_incoming(&frame));
            place = format!("packet {} ({})", n + 1, summary(&frame));
            traffic.entered.push((device, frame));
        } else {
            continue;
        }
        frames += theirs.len();
        let dropped_here = std::mem::take(&mut here.originals.borrow_mut().1);
        if let Some(dropped) = kernel.dropped()? {
            found.extend(compare_drops(&place, dropped, dropped_here));
        }
        for out in 0..DEVICES.len() {
            let k: Vec<&Vec<u8>> = of(&theirs, out).collect();
            let h: Vec<&Left> = of(&ours, out).collect();
            found.extend(compare_frames(&place, out, &k, &h, &here, &mut renaming));
        }
        traffic.left.extend(theirs);
        if !found.is_empty() {
            return Ok(Outcome::Differs(found));
        }
    }
    let theirs = kernel.programs.received(&renaming, &PORTS);
    let ours = here.programs.received(&mut here.stack, &PORTS);
    if theirs != ours {
        let (k, h) = (format!("{theirs:?}"), format!("{ours:?}"));
        found.push(Difference::new("sockets", "received", k, h));
    }
    let (_, listed) =
        kernel.shell("conntrack -L -f ipv4 -o extended,id; conntrack -L -f ipv6 -o extended,id")?;
    let lines = listed.lines().filter(|l| l.contains("src="));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    let mut options = ListOptions::default();
    options.extended = true;
    let ours = here.stack.conntrack().list_with(here.now, &options);
    found.extend(compare_list(&lines, &ours, &renaming));
    let (_, ruleset) = kernel.shell("nft list ruleset")?;
    let ours = here
        .stack
        .nft("list ruleset")
        .unwrap_or_else(|e| e.to_string());
    found.extend(compare_rules(&ruleset, &ours));
    if found.is_empty() {
        return Ok(Outcome::Same(frames));
    }
    Ok(Outcome::Differs(found))
}

fn of<T>(all: &[(usize, T)], device: usize) -> impl Iterator<Item = &T> {
    all.iter()
        .filter(move |(d, _)| *d == device)
        .map(|(_, item)| item)
}

fn compare_frames(
    place: &str,
    device: usize,
    kernel: &[&Vec<u8>],
    here: &[&Left],
    stack: &Here,
    renaming: &mut Renaming,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for i in 0..kernel.len().max(here.len()) {
        let place = format!("{place}, frame {} out of {}", i + 1, DEVICES[device].0);
        match (kernel.get(i), here.get(i)) {
            (Some(k), Some(h)) => {
                renaming.learn(k, &h.bytes, h.made_here, stack.original(h.id));
                let expected = renaming.expected(k, &h.bytes, h.made_here);
                let fields = differing_fields(&expected, &h.bytes);
                found.extend(
                    fields
                        .into_iter()
                        .map(|(field, k, h)| Difference::new(&place, field, k, h)),
                );
            }
            (Some(k), None) => found.push(Difference::new(place, "frame", summary(k), "none")),
            (None, Some(h)) => {
                found.push(Difference::new(place, "frame", "none", summary(&h.bytes)));
            }
            (None, None) => {}
        }
    }
    found
}

/// The same number of packets ended for each reason.
fn compare_drops(place: &str, kernel: Vec<Dropped>, here: Vec<&str>) -> Option<Difference> {
    let mut theirs: Vec<&str> = kernel.iter().map(|d| d.reason.as_str()).collect();
    let mut ours = here;
    theirs.sort_unstable();
    ours.sort_unstable();
    let k: Vec<String> = kernel.iter().map(ToString::to_string).collect();
    (theirs != ours).then(|| Difference::new(place, "dropped", k.join(", "), ours.join(", ")))
}

/// Every rule's counters: it matched the same packets.
fn compare_rules(kernel: &str, here: &str) -> Vec<Difference> {
    // How a rule is written is the matter of another test.
    let counters = |text: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| {
            let (_, after) = line.split_once("counter packets ")?;
            let numbers: Vec<&str> = after.split_whitespace().take(3).collect();
            Some((numbers.join(" "), line.trim().to_owned()))
        });
        lines.collect()
    };
    let (theirs, ours) = (counters(kernel), counters(here));
    let nothing = (String::new(), "nothing".to_owned());
    (0..theirs.len().max(ours.len()))
        .map(|i| {
            let (k, h) = (theirs.get(i), ours.get(i));
            (i, k.unwrap_or(&nothing), h.unwrap_or(&nothing))
        })
        .filter(|(_, k, h)| k.0 != h.0)
        .map(|(i, k, h)| Difference::new("nft list ruleset", format!("rule {}", i + 1), &k.1, &h.1))
        .collect()
}

/// Smaller and smaller cases that still differ, each in a namespace of its own: a kernel remembers whom it sent errors to.
pub fn shrink(case: Case, found: Vec<Difference>) -> io::Result<(Case, Vec<Difference>)> {
    let (mut case, mut found) = (case, found);
    loop {
        let mut better = None;
        for smaller in case.smaller() {
            let mut kernel = Kernel::new()?;
            if let Outcome::Differs(differences) = run(&mut kernel, &smaller)? {
                better = Some((smaller, differences));
                break;
            }
        }
        match better {
            Some((smaller, differences)) => (case, found) = (smaller, differences),
            None => return Ok((case, found)),
        }
    }
}
