//! Names of priorities.

use super::model::TableFamily;
use crate::hook::Hook;
use std::fmt::Write as _;

/// Name, value, and the hooks where it is one; all when none is listed. `std_prio_family_hook_compat()`.
const NAMES: [(&str, i32); 6] = [
    ("raw", -300),
    ("mangle", -150),
    ("dstnat", -100),
    ("filter", 0),
    ("security", 50),
    ("srcnat", 100),
];

fn fits(family: TableFamily, hook: Hook, name: &str) -> bool {
    match (family, name) {
        (TableFamily::Netdev, name) => name == "filter",
        (_, "dstnat") => hook == Hook::PreRouting,
        (_, "srcnat") => hook == Hook::PostRouting,
        _ => true,
    }
}

/// The priority that `name` stands for at `hook`.
pub(crate) fn from_name(family: TableFamily, hook: Hook, name: &str) -> Option<i32> {
    let (_, value) = NAMES.iter().find(|(n, _)| *n == name)?;
    fits(family, hook, name).then_some(*value)
}

/// As `nft list` prints it: by the nearest name that is at most 10 away, if there is one.
pub(crate) fn print(family: TableFamily, hook: Hook, priority: i32, out: &mut String) {
    let near = NAMES
        .iter()
        .filter(|(name, _)| fits(family, hook, name))
        .map(|(name, value)| (*name, i64::from(priority) - i64::from(*value)))
        .find(|(_, distance)| distance.abs() <= 10);
    // Writing into a string cannot fail.
    let _ = match near {
        Some((name, 0)) => write!(out, "{name}"),
        Some((name, d)) if d > 0 => write!(out, "{name} + {d}"),
        Some((name, d)) => write!(out, "{name} - {}", -d),
        None => write!(out, "{priority}"),
    };
}
