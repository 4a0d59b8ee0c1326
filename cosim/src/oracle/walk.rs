//! The walks of this stack's packets, in the form of the recordings.

use std::collections::{BTreeMap, BTreeSet};

use stack::{IfIndex, PacketId, SkBuff, Stage};

use super::frame::{Ip, be16};
use super::meta::{Matched, Visit};
use super::rename::keys;
use super::wire::Left;

/// Something that nft says about a packet, as its trace would print it.
#[derive(Debug, Clone)]
pub struct Said<'a> {
    /// Family of the table.
    pub family: &'a str,
    /// `table/chain`.
    pub chain: String,
    /// Devices, by name.
    pub iif: Option<String>,
    /// The one that it goes out through.
    pub oif: Option<String>,
    /// What was said.
    pub what: What,
}

/// What nft says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The packet entered the base chain.
    Enter,
    /// A rule matched.
    Rule {
        /// As listed.
        rule: String,
        /// Its comment.
        comment: Option<String>,
        /// `continue`, `accept`, `jump NAME`, …
        verdict: String,
    },
    /// The chain's policy decided.
    Policy {
        /// Whether it dropped the packet.
        drop: bool,
    },
}

/// A packet's walk.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// The chains, in order.
    pub visits: Vec<Visit>,
}

/// All walks, in the order in which their packets were seen first.
#[derive(Debug, Default)]
pub struct Walks {
    /// The walks.
    pub walks: Vec<Walk>,
    /// Egress chains of fragments that are no packet's own.
    pub fragments: Vec<Visit>,
    /// Frames that went through `lo`.
    pub looped: Vec<Left>,
    at: BTreeMap<PacketId, usize>,
    /// The packet that came in last.
    received: Option<PacketId>,
    /// Packets cut into fragments; the first one goes on as the packet.
    cut: BTreeMap<PacketId, bool>,
    /// Ports or ICMP id that a packet had when it was seen first.
    originals: BTreeMap<PacketId, (u16, u16)>,
    loose: BTreeSet<PacketId>,
}

impl Walks {
    /// The packet reached a stage.
    pub fn stage(&mut self, skb: &SkBuff, stage: Stage) {
        match stage {
            Stage::NapiPoll => {
                // On lo the same buffer comes back as another packet.
                self.at.remove(&skb.id);
                self.received = Some(skb.id);
            }
            Stage::Defrag => {
                let last = self.received.and_then(|id| self.at.get(&id)).copied();
                if let Some(walk) = last {
                    self.at.insert(skb.id, walk);
                }
            }
            Stage::Fragment => {
                // What was put together, or made in pieces here, still has them: the first one goes on as the packet. All others are cut into
                // new ones (the slow path of ip_do_fragment()).
                let in_pieces = skb.iif == IfIndex::NONE || skb.is_defragmented();
                self.cut.insert(skb.id, !in_pieces);
            }
            Stage::Xmit if skb.dev == IfIndex::LO => self.looped.push(Left {
                bytes: skb.to_vec(),
                id: skb.id,
                made_here: true,
            }),
            _ => {}
        }
    }

    /// nft says something about the packet.
    pub fn said(&mut self, skb: &SkBuff, said: Said<'_>) {
        if !self.at.contains_key(&skb.id)
            && let Some(first_gone) = self.cut.get_mut(&skb.parent)
        {
            if *first_gone {
                self.loose.insert(skb.id);
            } else if let Some(&walk) = self.at.get(&skb.parent) {
                *first_gone = true;
                self.at.insert(skb.id, walk);
            }
        }
        if !self.originals.contains_key(&skb.id)
            && let Some(ip) = Ip::parse(skb.network_bytes())
            && let Some(keys) = keys(skb.network_bytes(), &ip)
        {
            self.originals.insert(skb.id, keys);
        }
        // A packet or copy that rules send elsewhere (`fwd`, `dup`): nft reports its egress chain as that of no packet's own.
        let elsewhere = said.family == "netdev" && said.iif.is_none() && {
            let walk = self.at.get(&skb.id).and_then(|at| self.walks.get(*at));
            let last = walk.and_then(|walk| walk.visits.last());
            last.is_none_or(|last| last.family == "netdev" && last.iif.is_some())
        };
        let visits = if elsewhere || self.loose.contains(&skb.id) {
            &mut self.fragments
        } else {
            let walks = &mut self.walks;
            let walk = *self.at.entry(skb.id).or_insert_with(|| {
                walks.push(Walk::default());
                walks.len() - 1
            });
            &mut self.walks[walk].visits
        };
        if said.what == What::Enter || visits.is_empty() {
            visits.push(visit(skb, &said));
        }
        let Some(visit) = visits.last_mut() else {
            return;
        };
        match said.what {
            What::Enter => {}
            What::Rule {
                rule,
                comment,
                verdict,
            } => {
                if let Some(comment) = comment {
                    visit.notes.push(comment);
                } else if verdict == "stolen" {
                    // nft reports the rule when the packet is elsewhere, behind its egress chain.
                } else if verdict != "continue" && !verdict.starts_with("jump") {
                    visit.rules.push(Matched { rule, verdict });
                }
            }
            What::Policy { drop } => {
                if drop {
                    visit.verdict = Some("drop".to_owned());
                }
            }
        }
    }

    /// Ports, or the ICMP id twice, that a packet had when it was seen first.
    pub fn original(&self, id: PacketId) -> Option<(u16, u16)> {
        self.originals.get(&id).copied()
    }
}

/// The packet as nft's trace prints it: like it, ports are what stands behind the IP header, also in later fragments.
fn visit(skb: &SkBuff, said: &Said<'_>) -> Visit {
    let mut visit = Visit {
        chain: said.chain.clone(),
        family: said.family.to_owned(),
        iif: said.iif.clone(),
        oif: said.oif.clone(),
        ..Visit::default()
    };
    let packet = skb.network_bytes();
    let Some(ip) = Ip::parse(packet).filter(|_| skb.protocol == 0x0800) else {
        return visit;
    };
    let transport = packet.get(ip.header_len..).unwrap_or_default();
    visit.saddr = Some(ip.src.to_string());
    visit.daddr = Some(ip.dst.to_string());
    visit.ttl = Some(packet[8].to_string());
    visit.length = Some(ip.total_len.to_string());
    visit.protocol = Some(match ip.protocol {
        1 => "icmp".to_owned(),
        2 => "igmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        47 => "gre".to_owned(),
        50 => "esp".to_owned(),
        51 => "ah".to_owned(),
        58 => "ipv6-icmp".to_owned(),
        132 => "sctp".to_owned(),
        136 => "udplite".to_owned(),
        other => other.to_string(),
    });
    match ip.protocol {
        6 | 17 => {
            visit.sport = Some(be16(transport, 0).to_string());
            visit.dport = Some(be16(transport, 2).to_string());
        }
        1 => visit.icmp_type = transport.first().map(|&t| icmp_type(t)),
        _ => {}
    }
    visit
}

/// nft's names (`nft describe icmp type`).
fn icmp_type(number: u8) -> String {
    let name = match number {
        0 => "echo-reply",
        3 => "destination-unreachable",
        4 => "source-quench",
        5 => "redirect",
        8 => "echo-request",
        9 => "router-advertisement",
        10 => "router-solicitation",
        11 => "time-exceeded",
        12 => "parameter-problem",
        13 => "timestamp-request",
        14 => "timestamp-reply",
        15 => "info-request",
        16 => "info-reply",
        17 => "address-mask-request",
        18 => "address-mask-reply",
        other => return other.to_string(),
    };
    name.to_owned()
}
