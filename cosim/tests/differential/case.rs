//! A case: rules, routes, packets. It can be run again with parts left out.

use std::fmt;

/// The router's devices: name and MAC address.
pub const DEVICES: [(&str, &str); 2] = [
    ("eth_c", "02:00:00:00:01:01"),
    ("eth_s", "02:00:00:00:02:01"),
];

/// Pairs of hosts on each side: .2 and .3, .4 and .5, …
pub const HOST_PAIRS: u64 = 120;

/// What makes the router: the same lines for the kernel and for this stack.
pub fn topology() -> Vec<String> {
    let mut lines = vec![
        "ip addr add 10.0.1.1/24 dev eth_c".to_owned(),
        "ip addr add 10.0.2.1/24 dev eth_s".to_owned(),
    ];
    for (net, device) in [(1, "eth_c"), (2, "eth_s")] {
        let mac = format!("02:00:00:00:0{net}:02");
        for host in 2..2 + 2 * HOST_PAIRS {
            lines.push(format!(
                "ip neigh replace 10.0.{net}.{host} lladdr {mac} dev {device} nud permanent"
            ));
        }
    }
    lines
}

/// A table's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// `ip filter`
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `type filter hook forward priority 0;`, or nothing for a chain that is jumped to.
    pub base: &'static str,
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
        /// TCP: flags besides the natural ones; ICMP: nothing.
        flags: u8,
        /// Payload bytes.
        payload: usize,
    },
    /// An ICMP error about the frame that left as the `nth`.
    Error {
        /// Which.
        nth: usize,
        /// ICMP type and code.
        kind: (u8, u8),
    },
    /// The frame that came in as the `nth` once more, with one byte behind the Ethernet header changed.
    Again {
        /// Which.
        nth: usize,
        /// Where, modulo its length, and what is added; 0: nothing changes.
        change: (usize, u8),
    },
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it was drawn from.
    pub seed: u64,
    /// Chains with rules.
    pub chains: Vec<Chain>,
    /// `ip` lines that add something.
    pub config: Vec<String>,
    /// Packets, in order.
    pub packets: Vec<Packet>,
}

impl Case {
    /// The rules as a file for `nft -f`.
    pub fn ruleset(&self) -> String {
        let mut text = String::from("flush ruleset\n");
        for chain in &self.chains {
            text += &format!("table {} {{\n\tchain {} {{\n", chain.table, chain.name);
            if !chain.base.is_empty() {
                text += &format!("\t\t{}\n", chain.base);
            }
            text += "\t}\n}\n";
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
        for i in (0..self.packets.len()).rev() {
            let mut case = self.clone();
            case.packets.remove(i);
            all.push(case);
        }
        for i in 0..self.config.len() {
            let mut case = self.clone();
            case.config.remove(i);
            all.push(case);
        }
        for (i, chain) in self.chains.iter().enumerate() {
            for j in 0..chain.rules.len() {
                let mut case = self.clone();
                case.chains[i].rules.remove(j);
                all.push(case);
            }
            if chain.rules.is_empty() {
                let mut case = self.clone();
                case.chains.remove(i);
                all.push(case);
            }
        }
        all
    }
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
                other => writeln!(f, "{other:?}")?,
            }
        }
        Ok(())
    }
}
