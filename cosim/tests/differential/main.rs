//! Random rulesets, routes, rules and packets through the running kernel, in a network namespace of the test's own, and through this stack:
//! what leaves, `conntrack -L` and every rule's counters must agree.
//!
//! IPv4 and IPv6; sets, maps and verdict maps; NAT of all kinds; fragments, good and bad; errors, resets and whatever TCP may say.
//!
//! `WIREPATH_CASES` (300) and `WIREPATH_SEED` (1) say how many and which; `make differential` runs 10,000. A case that differs is made
//! smaller and printed; as a file in `cases/` it is a test from then on.

#[path = "../common/mod.rs"]
mod common;

mod case;
mod drops;
mod frames;
mod generate;
mod kernel;
mod programs;
mod run;

use std::collections::BTreeMap;
use std::process::Command;

use case::{Case, HOST_PAIRS};
use common::{installed, skip, text};
use kernel::Kernel;
use run::{Outcome, run, shrink};

/// What the kernel's side needs.
const NEEDS: [&str; 5] = ["netns", "tun", "nft", "conntrack", "sysctl"];

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

/// How often a case that differs is run again.
const AGAIN: u64 = 4;

/// Whether a case differs whenever it is run. NAT draws ports at random: a rule may match such a port in the kernel and not here, or the
/// other way round, and the next time neither.
fn always_differs(case: &Case) -> bool {
    (1..=AGAIN).all(|attempt| {
        let mut again = case.clone();
        // Other draws here; the kernel's are others anyway.
        again.seed ^= attempt << 32;
        let outcome = run(&mut Kernel::new().unwrap(), &again).unwrap();
        matches!(outcome, Outcome::Differs(_))
    })
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value
            .parse()
            .unwrap_or_else(|e| panic!("{name}={value}: {e}")),
        Err(_) => default,
    }
}

/// The kernel, or why there is none.
fn kernel() -> Result<Kernel, String> {
    match obstacle() {
        Some(why) => Err(why),
        None => Kernel::new().map_err(|e| format!("no namespace of our own: {e}")),
    }
}

/// Cases that differed once, as they were printed when they were small, and why they did.
#[test]
fn what_differed_once_no_longer_does() {
    let mut kernel = match kernel() {
        Ok(kernel) => kernel,
        Err(why) => return skip(&NEEDS, &why),
    };
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/cases");
    let mut names: Vec<_> = std::fs::read_dir(cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let mut differ = 0;
    for name in names {
        let name = name.display();
        let text = std::fs::read_to_string(name.to_string()).unwrap();
        let case = Case::parse(&text).unwrap_or_else(|| panic!("{name} is no case"));
        match run(&mut kernel, &case).unwrap() {
            Outcome::Same(frames) => println!("{name}: {frames} frames"),
            Outcome::Refused(why) => panic!("{name}: the kernel refuses it: {why}"),
            Outcome::Differs(found) => {
                let list: String = found.iter().map(ToString::to_string).collect();
                println!("{name} differs:\n{list}");
                differ += 1;
            }
        }
    }
    assert_eq!(differ, 0, "cases differ again; see above");
}

#[test]
fn a_case_that_is_printed_is_read_again() {
    for seed in 0..200 {
        let case = generate::case(seed);
        let text = case.to_string();
        let again = Case::parse(&text).unwrap();
        assert_eq!(again.ruleset(), case.ruleset(), "{text}");
        assert_eq!(
            (&again.config, &again.packets),
            (&case.config, &case.packets)
        );
    }
}

#[test]
fn the_kernel_and_this_stack_do_the_same() {
    let mut kernel = match kernel() {
        Ok(kernel) => kernel,
        Err(why) => return skip(&NEEDS, &why),
    };
    let (cases, seed) = (setting("WIREPATH_CASES", 300), setting("WIREPATH_SEED", 1));
    // All of them are looked at, as they are, when the list of what differs is wanted.
    let go_on = setting("WIREPATH_GO_ON", 0) > 0;
    println!("seeds {seed} to {}", seed + cases - 1);
    let (mut frames, mut refused, mut differ) = (0, 0, 0);
    let mut sometimes = Vec::new();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for (i, seed) in (seed..seed + cases).enumerate() {
        if i as u64 % HOST_PAIRS == HOST_PAIRS - 1 {
            // The next case has the hosts of one before, of which a kernel remembers fragments and paths.
            kernel = Kernel::new().unwrap();
        }
        let case = generate::case(seed);
        match run(&mut kernel, &case).unwrap() {
            Outcome::Same(n) => frames += n,
            Outcome::Refused(why) => {
                refused += 1;
                println!("seed {seed}: the kernel refuses it: {why}");
            }
            Outcome::Differs(_) if !always_differs(&case) => sometimes.push(seed),
            Outcome::Differs(found) => {
                differ += 1;
                let (case, found) = match go_on {
                    true => (case, found),
                    false => shrink(case, found).unwrap(),
                };
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
    println!("differ sometimes, by what was drawn: {sometimes:?}");
    println!("{kinds:?}");
    assert_eq!(differ, 0);
    assert!(refused * 20 < cases, "most cases must be real ones");
    assert!(
        sometimes.len() as u64 * 100 <= cases.max(100),
        "few cases depend on what is drawn"
    );
    assert!(frames as u64 > cases, "packets must get through");
}
