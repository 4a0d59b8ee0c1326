//! [`lines`]: what people type.

use super::common::Wire;
use stack::{CommandError, Stack, StackConfig};

/// Most lines of an input.
const MOST: usize = 64;
/// Longest line, in bytes.
const LONGEST: usize = 512;

fn host() -> Stack {
    let mut stack = Stack::new(StackConfig::default());
    for (net, name) in [(1, "eth_c"), (2, "eth_s")] {
        let dev = stack.add_device(name, Box::new(Wire::new([2, 0, 0, 0, net, 1])));
        for cidr in [format!("10.0.{net}.1/24"), format!("fd00:{net}::1/64")] {
            let cidr = cidr.parse().expect("a prefix");
            stack.add_addr(dev, cidr).expect("a new address");
        }
    }
    stack
}

/// Lines of `ip`, `tc` and `sysctl`, which their first words tell apart.
pub fn lines(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut stack = host();
    for line in text.lines().take(MOST).filter(|l| l.len() <= LONGEST) {
        let result = match line.split_whitespace().next() {
            Some("tc") => stack.tc(line),
            Some("sysctl") => stack.sysctl(line),
            _ => stack.ip(line),
        };
        if let Err(e) = result {
            check_place(line, &e);
        }
    }
    for list in [
        "tc -s -d qdisc show",
        "tc -s class show dev eth_s",
        "tc -s filter show dev eth_s",
        "tc -s filter show dev eth_s ingress",
        "tc -s filter show dev eth_c egress",
    ] {
        stack.tc(list).unwrap_or_else(|e| panic!("{list}: {e}"));
    }
    for list in ["addr", "neigh", "link"] {
        stack.ip(list).unwrap_or_else(|e| panic!("{list}: {e}"));
    }
    again(&mut stack);
}

/// The word at fault stands where the error says.
fn check_place(line: &str, e: &CommandError) {
    let rest: String = line.chars().skip(e.column - 1).collect();
    let quote = usize::from(rest.starts_with(['"', '\'']));
    let stands = e.line == 1 && (rest.starts_with(&e.word) || rest[quote..].starts_with(&e.word));
    assert!(stands, "{line:?}: {e}");
}

/// Routes and rules as they are listed name themselves: typed in, they are deleted and added again.
fn again(stack: &mut Stack) {
    for object in ["-4 route", "-6 route", "-4 rule", "-6 rule"] {
        let route = object.ends_with("route");
        let show = match route {
            true => format!("{object} show table all"),
            false => object.to_owned(),
        };
        let (delete, add) = match route {
            true => ("del", "append"),
            false => ("del pref", "add pref"),
        };
        let before = entries(stack, &show);
        let mut all = true;
        for entry in &before {
            let line = format!("{object} {delete} {entry}");
            stack.ip(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let line = format!("{object} {add} {entry}");
            if let Err(e) = stack.ip(&line) {
                // What it needs (a gateway, a source address) may have gone since.
                assert!(kernel_refuses(&e), "{line}: {e}");
                all = false;
            }
        }
        if all {
            assert_eq!(entries(stack, &show), before, "{show}");
        }
    }
}

/// The entries of a list, sorted, each as it is typed; without those of table local, which come and go with addresses.
fn entries(stack: &mut Stack, show: &str) -> Vec<String> {
    let listed = stack.ip(show).unwrap_or_else(|e| panic!("{show}: {e}"));
    let listed = listed
        // The ways of a multipath route, and nothing else, are on lines of their own.
        .replace("\n\tnexthop", "nexthop")
        .replace(" [detached]", "")
        .replace(" [unresolved]", "")
        .replace(" linkdown", "")
        .replace("ipproto-", "")
        .replace(":\t", " ");
    let mut entries: Vec<String> = listed
        .lines()
        .filter(|line| !line.contains(" table local ") && !line.starts_with("0 "))
        .map(|line| match show.ends_with("rule") {
            true => line.replace(" proto ", " protocol "),
            false => line.to_owned(),
        })
        .collect();
    entries.sort();
    entries
}

/// Whether a line is understood, and refused for what it asks.
fn kernel_refuses(e: &CommandError) -> bool {
    ["RTNETLINK answers", "Error: "]
        .iter()
        .any(|start| e.problem.starts_with(start))
}
