//! Random rulesets, routes, rules and packets through the running kernel, in a network namespace of the test's own, and through this stack:
//! what leaves, `conntrack -L` and every rule's counters must agree.
//!
//! `WIREPATH_CASES` (300) and `WIREPATH_SEED` (1) say how many and which; `make differential` runs 10,000. A case that differs is made
//! smaller and printed.

#[path = "../common/mod.rs"]
mod common;

mod case;
mod generate;
mod kernel;
mod run;

use std::collections::BTreeMap;
use std::process::Command;

use common::{installed, skip, text};
use kernel::Kernel;
use run::{Outcome, run, shrink};

/// Why the test cannot run here; `None` when it can.
fn obstacle() -> Option<String> {
    let uid = Command::new("id").arg("-u").output().ok()?;
    if text(&uid.stdout).trim() != "0" {
        return Some("this is not root".into());
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".into());
    }
    let missing = ["ip", "nft", "conntrack", "sysctl"]
        .into_iter()
        .find(|program| !installed(program));
    missing.map(|program| format!("{program} is not installed"))
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value
            .parse()
            .unwrap_or_else(|e| panic!("{name}={value}: {e}")),
        Err(_) => default,
    }
}

#[test]
fn the_kernel_and_this_stack_do_the_same() {
    if let Some(why) = obstacle() {
        return skip(&why);
    }
    let mut kernel = match Kernel::new() {
        Ok(kernel) => kernel,
        Err(e) => return skip(&format!("no namespace of our own: {e}")),
    };
    let (cases, seed) = (setting("WIREPATH_CASES", 300), setting("WIREPATH_SEED", 1));
    // All of them are looked at when the list of what differs is wanted.
    let go_on = setting("WIREPATH_GO_ON", 0) > 0;
    println!("seeds {seed} to {}", seed + cases - 1);
    let (mut frames, mut refused, mut differ) = (0, 0, 0);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seed..seed + cases {
        let case = generate::case(seed);
        match run(&mut kernel, &case).unwrap() {
            Outcome::Same(n) => frames += n,
            Outcome::Refused(why) => {
                refused += 1;
                println!("seed {seed}: the kernel refuses it: {why}");
            }
            Outcome::Differs(found) => {
                differ += 1;
                let (case, found) = shrink(case, found).unwrap();
                let list: String = found.iter().map(ToString::to_string).collect();
                println!("{case}{list}");
                let kind = found.first().map_or(String::new(), |d| d.what.clone());
                *kinds.entry(kind).or_default() += 1;
                assert!(
                    go_on,
                    "seed {seed} differs; the smallest such case is above"
                );
            }
        }
    }
    println!(
        "{cases} cases, {frames} frames left the kernel, {refused} rulesets refused, {differ} differ"
    );
    println!("{kinds:?}");
    assert_eq!(differ, 0);
    assert!(refused * 20 < cases, "most cases must be real ones");
    assert!(frames as u64 > cases, "packets must get through");
}
