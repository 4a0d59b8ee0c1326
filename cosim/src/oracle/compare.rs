//! Walks and frames, the kernel's beside those here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::difference::Difference;
use super::frame::{TCP, UDP, differing_fields, summary};
use super::meta::{Matched, Visit};
use super::rename::Renaming;
use super::walk::Walks;
use super::wire::Left;
use crate::capture::CapturedFrame;

/// The kernel's walks without the egress chains of fragments, and those.
pub fn split_fragments(
    packets: &[Vec<Visit>],
    hooks: &BTreeMap<String, String>,
) -> (Vec<Vec<Visit>>, Vec<Visit>) {
    let mut walks = Vec::new();
    let mut fragments = Vec::new();
    for packet in packets {
        let mut walk: Vec<Visit> = Vec::new();
        for visit in packet {
            let egress = hooks.get(&visit.chain).is_some_and(|h| h == "egress");
            // An egress chain comes behind postrouting, or behind another one of the same device.
            let in_order = walk.last().is_some_and(|before| {
                let postrouting = hooks.get(&before.chain).is_some_and(|h| h == "postrouting");
                let another = hooks.get(&before.chain).is_some_and(|h| h == "egress");
                postrouting || (another && before.oif == visit.oif)
            });
            if egress && !in_order {
                fragments.push(visit.clone());
            } else {
                walk.push(visit.clone());
            }
        }
        if !walk.is_empty() {
            walks.push(walk);
        }
    }
    (walks, fragments)
}

/// Compares all walks in order.
pub fn compare_walks(
    kernel: &[Vec<Visit>],
    fragments: &[Visit],
    here: &Walks,
    renaming: &Renaming,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for i in 0..kernel.len().max(here.walks.len()) {
        let place = format!("packet {}", i + 1);
        match (kernel.get(i), here.walks.get(i)) {
            (Some(k), Some(h)) => compare_walk(&place, k, &h.visits, renaming, &mut found),
            (Some(k), None) => {
                found.push(Difference::new(place, "walk", path(k), "no such packet"))
            }
            (None, Some(h)) => found.push(Difference::new(
                place,
                "walk",
                "no such packet",
                format!("{} ({})", path(&h.visits), first(&h.visits)),
            )),
            (None, None) => {}
        }
    }
    let place = "fragments at egress";
    if kernel_path(fragments) != kernel_path(&here.fragments) {
        let (k, h) = (path(fragments), path(&here.fragments));
        found.push(Difference::new(place, "chains", k, h));
    }
    found
}

fn kernel_path(visits: &[Visit]) -> Vec<&str> {
    visits.iter().map(|v| v.chain.as_str()).collect()
}

fn path(visits: &[Visit]) -> String {
    if visits.is_empty() {
        return "none".to_owned();
    }
    kernel_path(visits).join(" > ")
}

fn first(visits: &[Visit]) -> String {
    let Some(v) = visits.iter().find(|v| !v.is_bare()) else {
        return String::new();
    };
    let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{} {}:{} > {}:{}",
        text(&v.protocol),
        text(&v.saddr),
        text(&v.sport),
        text(&v.daddr),
        text(&v.dport)
    )
}

fn compare_walk(
    place: &str,
    kernel: &[Visit],
    here: &[Visit],
    renaming: &Renaming,
    found: &mut Vec<Difference>,
) {
    if kernel_path(kernel) != kernel_path(here) {
        let same = kernel
            .iter()
            .zip(here)
            .take_while(|(k, h)| k.chain == h.chain)
            .count();
        let what = match same {
            0 => "walk".to_owned(),
            n => format!("walk, from {} on", kernel[n - 1].chain),
        };
        let rest = |visits: &[Visit]| path(visits.get(same..).unwrap_or_default());
        found.push(Difference::new(place, what, rest(kernel), rest(here)));
        // What came before is still of interest.
    }
    for (k, h) in kernel.iter().zip(here) {
        if k.chain != h.chain {
            break;
        }
        compare_visit(&format!("{place}, {}", k.chain), k, h, renaming, found);
    }
}

fn compare_visit(
    place: &str,
    kernel: &Visit,
    here: &Visit,
    renaming: &Renaming,
    found: &mut Vec<Difference>,
) {
    let mut differs = |what: &str, k: &str, h: &str| {
        if k != h {
            found.push(Difference::new(place, what, k, h));
        }
    };
    let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
    differs("family", &kernel.family, &here.family);
    // A device that the trace does not print is none.
    differs("iif", &text(&kernel.iif), &text(&here.iif));
    differs("oif", &text(&kernel.oif), &text(&here.oif));
    let sport = port(kernel, here, &kernel.saddr, &kernel.sport, renaming);
    let dport = port(kernel, here, &kernel.daddr, &kernel.dport, renaming);
    for (what, k, h) in [
        ("saddr", &kernel.saddr, &here.saddr),
        ("daddr", &kernel.daddr, &here.daddr),
        ("protocol", &kernel.protocol, &here.protocol),
        ("ttl", &kernel.ttl, &here.ttl),
        ("length", &kernel.length, &here.length),
        ("sport", &sport, &here.sport),
        ("dport", &dport, &here.dport),
        ("icmp type", &kernel.icmp_type, &here.icmp_type),
    ] {
        // The trace leaves out what follows from the table's family or what it cannot print.
        if k.is_some() {
            differs(what, &text(k), &text(h));
        }
    }
    differs("notes", &kernel.notes.join(", "), &here.notes.join(", "));
    differs("rules", &rules(&kernel.rules), &rules(&here.rules));
    let verdict = |v: &Visit| v.verdict.clone().unwrap_or_else(|| "accept".to_owned());
    differs("policy", &verdict(kernel), &verdict(here));
}

fn port(
    kernel: &Visit,
    here: &Visit,
    address: &Option<String>,
    port: &Option<String>,
    renaming: &Renaming,
) -> Option<String> {
    let number: u16 = port.as_deref()?.parse().ok()?;
    let Some(address) = address.as_deref().and_then(|a| a.parse::<IpAddr>().ok()) else {
        return port.clone();
    };
    let protocol = kernel.protocol.as_deref().or(here.protocol.as_deref());
    let protocol = if protocol == Some("tcp") { TCP } else { UDP };
    Some(renaming.port(protocol, address, number).to_string())
}

/// Counters were at zero when the trace read the rules.
fn rules(rules: &[Matched]) -> String {
    let one = |matched: &Matched| {
        let mut after = "";
        let words: Vec<&str> = matched
            .rule
            .split_whitespace()
            .map(|word| {
                let counted = matches!(after, "packets" | "bytes");
                after = word;
                if counted { "0" } else { word }
            })
            .collect();
        format!("{} ({})", words.join(" "), matched.verdict)
    };
    if rules.is_empty() {
        return "none".to_owned();
    }
    rules.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Compares the frames that left a device, in order.
pub fn compare_frames(
    device: &str,
    kernel: &[CapturedFrame],
    here: &[Left],
    renaming: &Renaming,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for i in 0..kernel.len().max(here.len()) {
        let place = format!("frame {} out of {device}", i + 1);
        match (kernel.get(i), here.get(i)) {
            (Some(k), Some(h)) => {
                let expected = renaming.expected(&k.bytes, &h.bytes, h.made_here);
                for (field, k, h) in differing_fields(&expected, &h.bytes) {
                    found.push(Difference::new(&place, field, k, h));
                }
            }
            (Some(k), None) => {
                found.push(Difference::new(place, "frame", summary(&k.bytes), "none"));
            }
            (None, Some(h)) => {
                found.push(Difference::new(place, "frame", "none", summary(&h.bytes)));
            }
            (None, None) => {}
        }
    }
    found
}
