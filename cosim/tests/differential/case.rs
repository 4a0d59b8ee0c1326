//! A case: rules, routes, packets. It can be run again with parts left out, and be kept as text.

use std::fmt;
use std::net::SocketAddr;

/// The router's devices: name and MAC address.
pub const DEVICES: [(&str, &str); 2] = [
    ("eth_c", "02:00:00:00:01:01"),
    ("eth_s", "02:00:00:00:02:01"),
];

/// Pairs of hosts on each side: .2 and .3, .4 and .5, …
pub const HOST_PAIRS: u64 = 120;

/// What makes the router: the same lines for the kernel and for this stack.
pub fn topology() -> Vec<String> {
    let mut lines = Vec::new();
    for (net, (device, _)) in (1..).zip(DEVICES) {
        lines.push(format!("ip addr add 10.0.{net}.1/24 dev {device}"));
        lines.push(format!("ip addr add fd00:{net}::1/64 dev {device}"));
        let end = format!("lladdr 02:00:00:00:0{net}:02 dev {device} nud permanent");
        for host in 2..2 + 2 * HOST_PAIRS {
            lines.push(format!("ip neigh replace 10.0.{net}.{host} {end}"));
            lines.push(format!("ip neigh replace fd00:{net}::{host:x} {end}"));
        }
    }
    lines
}

/// A table's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// `ip filter`
    pub table: String,
    /// Its name.
    pub name: &'static str,
    /// `type filter hook forward priority 0;`, or nothing for a chain that is jumped to.
    pub base: String,
    /// Its rules.
    pub rules: Vec<String>,
}

/// A packet to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A frame as it is.
    Fresh {
        /// Device.
        device: usize,
        /// Bytes.
        frame: Vec<u8>,
    },
    /// The other end's answer to the frame that left as the `nth` (modulo their number).
    Answer {
        /// Which.
        nth: usize,
        /// TCP: flags besides the natural ones, or all of them with [`EXACT`]; ICMP: nothing.
        flags: u16,
        /// Payload bytes.
        payload: usize,
        /// TCP: how far off its sequence number is.
        off: i32,
    },
    /// An ICMP error about the frame that left as the `nth`.
    Error {
        /// Which.
        nth: usize,
        /// ICMP type and code.
        kind: (u8, u8),
        /// Bytes of the transport header that it quotes.
        quote: usize,
    },
    /// The frame that came in as the `nth` once more, with one byte behind the Ethernet header changed.
    Again {
        /// Which.
        nth: usize,
        /// Where, modulo its length, and what is added; 0: nothing changes.
        change: (usize, u8),
    },
    /// What a program of the router sends.
    Own(Own),
}

/// How a program sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `sendto()` of UDP.
    Udp,
    /// `connect()` and `send()` of UDP.
    UdpConnected,
    /// `connect()` of TCP, and `close()` before an answer comes: what a connection does is the matter of other tests.
    Tcp,
    /// An echo request, whose identifier is the port.
    Ping,
}

/// The words for them in a case's text.
const HOWS: [(How, &str); 4] = [
    (How::Udp, "udp"),
    (How::UdpConnected, "connected"),
    (How::Tcp, "tcp"),
    (How::Ping, "ping"),
];

/// What a program of the router sends, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// How.
    pub how: How,
    /// From which port; the address is the kernel's to choose.
    pub port: u16,
    /// Where to.
    pub to: SocketAddr,
    /// Payload bytes.
    pub payload: usize,
}

impl Own {
    fn parse(words: &[&str]) -> Option<Self> {
        let [how, port, to, payload] = words else {
            return None;
        };
        Some(Self {
            how: HOWS.iter().find(|(_, word)| word == how)?.0,
            port: port.parse().ok()?,
            to: to.parse().ok()?,
            payload: payload.parse().ok()?,
        })
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = HOWS.iter().find(|(how, _)| *how == self.how);
        let how = how.map_or("", |(_, word)| word);
        write!(f, "own {how} {} {} {}", self.port, self.to, self.payload)
    }
}

/// With [`Packet::Answer`]'s flags: they are all that are set.
pub const EXACT: u16 = 0x100;

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it was drawn from.
    pub seed: u64,
    /// Rules that come first, as text for `nft -f`: those of a kept case.
    pub rules: String,
    /// Chains with rules.
    pub chains: Vec<Chain>,
    /// `add set …`, `add map …`.
    pub sets: Vec<String>,
    /// `ip` lines that add or set something.
    pub config: Vec<String>,
    /// Packets, in order.
    pub packets: Vec<Packet>,
}

impl Case {
    /// The rules as a file for `nft -f`.
    pub fn ruleset(&self) -> String {
        let mut text = String::from("flush ruleset\n") + &self.rules;
        for chain in &self.chains {
            text += &format!("table {} {{\n\tchain {} {{\n", chain.table, chain.name);
            if !chain.base.is_empty() {
                text += &format!("\t\t{}\n", chain.base);
            }
            text += "\t}\n}\n";
        }
        for set in &self.sets {
            text += set;
            text += "\n";
        }
        for chain in &self.chains {
            for rule in &chain.rules {
                text += &format!("add rule {} {} {rule}\n", chain.table, chain.name);
            }
        }
        text
    }

    /// Smaller cases, each with one thing left out, the most hopeful first.
    pub fn smaller(&self) -> Vec<Case> {
        let mut all = Vec::new();
        let mut without = |change: &dyn Fn(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            all.push(case);
        };
        for i in (0..self.packets.len()).rev() {
            without(&|case| drop(case.packets.remove(i)));
        }
        for i in 0..self.config.len() {
            without(&|case| drop(case.config.remove(i)));
        }
        for (i, chain) in self.chains.iter().enumerate() {
            for j in 0..chain.rules.len() {
                without(&|case| drop(case.chains[i].rules.remove(j)));
            }
            if chain.rules.is_empty() {
                without(&|case| drop(case.chains.remove(i)));
            }
        }
        for i in 0..self.sets.len() {
            without(&|case| drop(case.sets.remove(i)));
        }
        all
    }

    /// The case that [`Display`](fmt::Display) printed. `None` when it is none.
    pub fn parse(text: &str) -> Option<Case> {
        let mut lines = text.lines();
        let mut case = Case {
            seed: lines.next()?.strip_prefix("seed ")?.parse().ok()?,
            rules: String::new(),
            chains: Vec::new(),
            sets: Vec::new(),
            config: Vec::new(),
            packets: Vec::new(),
        };
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at)?.parse::<i64>().ok();
            match words.as_slice() {
                ["into", device, ..] => {
                    let name = device.trim_end_matches(':');
                    let device = DEVICES.iter().position(|(d, _)| *d == name)?;
                    let frame = unhex(lines.next()?.trim())?;
                    case.packets.push(Packet::Fresh { device, frame });
                }
                ["answer", ..] => case.packets.push(Packet::Answer {
                    nth: number(1)? as usize,
                    flags: number(2)? as u16,
                    payload: number(3)? as usize,
                    off: number(4)? as i32,
                }),
                ["error", ..] => case.packets.push(Packet::Error {
                    nth: number(1)? as usize,
                    kind: (number(2)? as u8, number(3)? as u8),
                    quote: number(4)? as usize,
                }),
                ["again", ..] => case.packets.push(Packet::Again {
                    nth: number(1)? as usize,
                    change: (number(2)? as usize, number(3)? as u8),
                }),
                ["own", own @ ..] => case.packets.push(Packet::Own(Own::parse(own)?)),
                ["ip" | "sysctl", ..] if !line.starts_with(char::is_whitespace) => {
                    case.config.push(line.to_owned());
                }
                ["flush", "ruleset"] | ["#", ..] | [] => {}
                _ => case.rules += &format!("{line}\n"),
            }
        }
        Some(case)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect();
    Some(digits?.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// Which of several: −1 is the last.
fn shown(nth: usize) -> isize {
    nth as isize
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        f.write_str(&self.ruleset())?;
        for line in &self.config {
            writeln!(f, "{line}")?;
        }
        for packet in &self.packets {
            match packet {
                Packet::Fresh { device, frame } => {
                    let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
                    let summary = cosim::oracle::frame::summary(frame);
                    writeln!(f, "into {}: {summary}\n  {hex}", DEVICES[*device].0)?;
                }
                Packet::Answer {
                    nth,
                    flags,
                    payload,
                    off,
                } => writeln!(f, "answer {} {flags} {payload} {off}", shown(*nth))?,
                Packet::Error { nth, kind, quote } => {
                    writeln!(f, "error {} {} {} {quote}", shown(*nth), kind.0, kind.1)?;
                }
                Packet::Again { nth, change } => {
                    writeln!(f, "again {} {} {}", shown(*nth), change.0, change.1)?;
                }
                Packet::Own(own) => writeln!(f, "{own}")?,
            }
        }
        Ok(())
    }
}
