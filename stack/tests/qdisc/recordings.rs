//! TBF, HTB and ifb against recordings of a Linux 6.18 kernel: which packets leave, in which order, when; and what `tc -s` says after.
//!
//! The recordings list only the first arrivals; the others came right behind them, a few microseconds apart, as a burst. The kernel's times
//! have its noise: its timers fire late by some tens of microseconds, more when the machine was busy, and what follows is later by
//! as much or catches up. So each time is compared with a tolerance, and most of them with a small one.

use crate::router::Router;
use stack::Ps;
use std::fs;

/// One microsecond.
const US: Ps = 1_000_000;
/// Distance of the arrivals that are not listed.
const BURST_DISTANCE: Ps = 3 * US;
/// The latest that a timer of the recording kernel was.
const WORST_NOISE: Ps = 1_700 * US;
/// What nine of ten were at most.
const USUAL_NOISE: Ps = 250 * US;

struct Recording {
    prep: Vec<String>,
    /// `tc -s -d` after the traffic.
    lists: String,
    /// Time since the first one, and destination port.
    departures: Vec<(Ps, u16)>,
    /// The same of the packets that came in, as far as they are listed.
    arrivals: Vec<(Ps, u16)>,
}

fn recording(name: &str) -> Recording {
    let path = format!(
        "{}/tests/data/oracle/qdisc/{name}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read_to_string(path).unwrap();
    let section = |from: &str, to: &str| {
        let rest = text.split_once(from).unwrap().1;
        let body = rest.split_once('\n').unwrap().1;
        body.split_once(to)
            .map_or(body, |(body, _)| body)
            .to_owned()
    };
    let prep = text
        .lines()
        .find_map(|l| l.strip_prefix("# prep: "))
        .unwrap();
    let departures = section("## departures", "\n\n");
    let arrivals = section("## arrivals", "\n\n");
    let mut first = None;
    Recording {
        prep: prep.split("; ").map(str::to_owned).collect(),
        lists: section("## tc -s after", "## departures"),
        departures: departures
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let ms: f64 = words[1].parse().unwrap();
                ((ms * 1e9) as Ps, words[3].parse().unwrap())
            })
            .collect(),
        arrivals: arrivals
            .lines()
            .map(|line| {
                let (time, rest) = line.split_once(' ').unwrap();
                let (s, ns) = time.split_once('.').unwrap();
                let ns: u64 =
                    s.parse::<u64>().unwrap() * 1_000_000_000 + ns.parse::<u64>().unwrap();
                let since = ns - *first.get_or_insert(ns);
                let target = rest.split_once(": ").unwrap().0;
                let port = target.rsplit_once('.').unwrap().1;
                (since * 1000, port.parse().unwrap())
            })
            .collect(),
    }
}

/// What no two runs have in common: references, handles that were made up, seconds; and how often a timer was early.
fn comparable(lists: &str) -> Vec<String> {
    let numbers_after = |line: &str, words: &[&str]| {
        let mut out: Vec<&str> = Vec::new();
        let mut hide = false;
        for word in line.split(' ') {
            out.push(if hide { "_" } else { word });
            hide = words.contains(&word);
        }
        out.join(" ")
    };
    let hidden = [
        "refcnt",
        "tokens:",
        "ctokens:",
        "overlimits",
        "tbf",
        "installed",
        "used",
        "firstused",
    ];
    let lines = lists.lines().map(|line| numbers_after(line, &hidden));
    lines
        .map(|line| match line.starts_with("class tbf") {
            true => line.split("parent").next().unwrap_or_default().to_owned(),
            false => line
                .split(" sec used")
                .next()
                .unwrap_or_default()
                .to_owned(),
        })
        .filter(|line| !line.is_empty())
        .collect()
}

/// Replays a recording; `dev`: whose lists were printed.
fn replay(name: &str, total: usize, lists: &[&str]) -> Router {
    let recording = recording(name);
    let mut router = Router::new();
    for line in &recording.prep {
        router.prepare(line);
    }
    let mut arrivals = recording.arrivals.clone();
    while arrivals.len() < total {
        let (at, port) = (
            arrivals[arrivals.len() - 1].0,
            arrivals[arrivals.len() - 2].1,
        );
        arrivals.push((at + BURST_DISTANCE, port));
    }
    let start = 1000 * US;
    for (at, port) in arrivals {
        router.arrive(start + at, port, 958);
    }
    router.run_until(start + 2_000_000 * US);
    let first = router.departures[0].at;
    let ours: Vec<(Ps, u16)> = router
        .departures
        .iter()
        .map(|d| (d.at - first, d.dport()))
        .collect();
    let ports = |list: &[(Ps, u16)]| list.iter().map(|d| d.1).collect::<Vec<_>>();
    assert_eq!(ports(&ours), ports(&recording.departures), "{name}: order");
    let mut noise: Vec<(Ps, usize)> = ours
        .iter()
        .zip(&recording.departures)
        .enumerate()
        .map(|(i, (a, b))| (a.0.abs_diff(b.0), i))
        .collect();
    noise.sort_unstable();
    let (usual, worst) = (noise[noise.len() * 9 / 10], noise[noise.len() - 1]);
    println!(
        "{name}: {} packets in the kernel's order; times differ by {} us at most in nine of ten, by {} us at packet {}",
        ours.len(),
        usual.0 / US,
        worst.0 / US,
        worst.1
    );
    assert!(usual.0 <= USUAL_NOISE, "{name}: {} us", usual.0 / US);
    assert!(
        worst.0 <= WORST_NOISE,
        "{name}: {} us at packet {}",
        worst.0 / US,
        worst.1
    );
    let mut said = String::new();
    for line in lists {
        said += &router.stack.tc(line).unwrap();
    }
    assert_eq!(
        comparable(&said),
        comparable(&recording.lists),
        "{name}: tc -s"
    );
    router.assert_balanced();
    router
}

const LISTS: [&str; 2] = [
    "tc -s -d qdisc show dev eth_s",
    "tc -s -d class show dev eth_s",
];

#[test]
fn tbf_1mbit() {
    replay("T5_tbf_1mbit", 60, &LISTS);
}

#[test]
fn tbf_limit_drop() {
    let router = replay("T5_tbf_limit_drop", 60, &LISTS);
    assert_eq!(router.stack.drop_count(stack::DropReason::QdiscDrop), 30);
}

#[test]
fn htb_two_classes() {
    replay("T5_htb_two_classes", 120, &LISTS);
}

#[test]
fn ifb_ingress_tbf() {
    let lists = [
        "tc -s -d qdisc show dev ifb0",
        "tc -s -d class show dev ifb0",
        "tc -s filter show dev eth_c parent ffff:",
    ];
    let router = replay("T5_ifb_ingress_tbf", 60, &lists);
    let stats = router.stack.link_stats(stack::IfIndex(4)).unwrap();
    assert_eq!(
        (stats.tx_packets, stats.rx_packets, stats.rx_dropped),
        (60, 60, 0)
    );
}
