//! Stock Linux kernels in stock QEMU drive the RTL: `cosim serve` is their PCI network card.
//!
//! `make guest` fetches what this needs and runs it; without that it says why it skips. Each kernel of
//! the guest directory is booted and goes through every case; the table at the end is the result.
//!
//! Words behind `--` choose machines: `cargo test --release -p cosim --test guest -- queue` runs the one with four
//! queue pairs.
//!
//! - `WIREPATH_GUEST_DIR`: where `cosim/guest/fetch` put QEMU, busybox and kernels
//!   (`target/guest` unless said otherwise).
//! - `WIREPATH_GUEST=skip`: do not run.
//! - `WIREPATH_GUEST_MB`: megabytes that go each way, 10 unless said otherwise.
//! - `WIREPATH_KERNEL`, `WIREPATH_MODULES`: another kernel image and a directory with its modules
//!   (`virtio_net.ko` and what it needs), instead of the fetched ones.

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod console;
mod features;
mod machine;
mod network;
mod transfers;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cases::{Named, Outcome};
use common::{installed, skip, text};
use machine::{Kernel, Machine, Setup};

/// The card as it is.
const PLAIN: Setup = Setup {
    name: "",
    serve: &[],
    iommu: false,
    pairs: 1,
};
/// The guest decides for each buffer when the card may use it.
const IOMMU: Setup = Setup {
    name: ", with an IOMMU",
    serve: &[],
    iommu: true,
    pairs: 1,
};
/// All that a card must have, and its address.
const BARE: Setup = Setup {
    name: ", no optional features",
    serve: &[
        "--features-off",
        "CSUM,GUEST_CSUM,HOST_TSO4,HOST_TSO6,HOST_ECN,HOST_USO,GUEST_TSO4,GUEST_TSO6,MRG_RXBUF,\
         CTRL_VQ,INDIRECT_DESC,MTU,STATUS,SPEED_DUPLEX,EVENT_IDX,IN_ORDER,RING_RESET",
    ],
    iommu: false,
    pairs: 1,
};

/// Four CPUs, and a queue pair for each.
const QUEUES: Setup = Setup {
    name: ", four queue pairs",
    serve: &["--queue-pairs", "4"],
    iommu: false,
    pairs: 4,
};

/// The behavioural model that the RTL is compared with, in its place.
const MODEL: Setup = Setup {
    name: ", behavioural model",
    serve: &["--device", "model"],
    iommu: false,
    pairs: 1,
};

/// What a case came to: its name, and what was seen or what went wrong.
type Row = (&'static str, Result<String, String>);

/// One kernel's results.
struct Results {
    kernel: String,
    offered: String,
    acknowledged: String,
    rows: Vec<Row>,
}

fn main() -> ExitCode {
    // Asked for by tools that look for test names; there is one.
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("WIREPATH_GUEST").is_some_and(|v| v == "skip") {
        println!("skipped: WIREPATH_GUEST=skip");
        return ExitCode::SUCCESS;
    }
    let guest = guest_dir();
    if let Some(reason) = obstacle(&guest) {
        skip(&["netns", "tun", "ping", "guest"], &reason);
        return ExitCode::SUCCESS;
    }
    let kernels = match kernels(&guest) {
        Ok(kernels) => kernels,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let mut runs: Vec<_> = kernels
        .iter()
        .map(|kernel| (kernel, &PLAIN, cases::ALL))
        .collect();
    if let (Some(oldest), Some(newest)) = (kernels.first(), kernels.last()) {
        runs.push((newest, &IOMMU, cases::IOMMU));
        runs.push((oldest, &BARE, cases::DATA));
        runs.push((newest, &QUEUES, cases::QUEUES));
        runs.push((newest, &MODEL, cases::DATA));
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = |setup: &Setup| words.iter().any(|word| setup.name.contains(word));
    runs.retain(|(_, setup, _)| named(setup) || words.iter().all(|word| word.starts_with('-')));
    let results: Vec<Results> = runs
        .iter()
        .map(|(kernel, setup, cases)| drive(&guest, kernel, setup, cases))
        .collect();
    let qemu = version(&guest);
    for result in &results {
        print(result, &qemu);
    }
    let failed = results.iter().flat_map(|r| &r.rows).any(|r| r.1.is_err());
    ExitCode::from(u8::from(failed || results.is_empty()))
}

fn guest_dir() -> PathBuf {
    match std::env::var_os("WIREPATH_GUEST_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guest"),
    }
}

/// Why no guest can be started here; `None` when one can.
fn obstacle(guest: &Path) -> Option<String> {
    if !guest.join("complete").exists() {
        return Some(format!(
            "there is no QEMU with kernels in {}: `make guest` fetches them",
            guest.display()
        ));
    }
    network::obstacle().or_else(|| {
        (!installed("ping")).then(|| "ping is not installed (package iputils-ping)".into())
    })
}

/// The kernels to drive the card with: the user's, or all that were fetched, oldest first.
fn kernels(guest: &Path) -> Result<Vec<Kernel>, String> {
    if let Some(image) = std::env::var_os("WIREPATH_KERNEL").filter(|v| !v.is_empty()) {
        let modules = std::env::var_os("WIREPATH_MODULES").filter(|v| !v.is_empty());
        return Ok(vec![Kernel {
            image: image.into(),
            modules: modules.map(PathBuf::from),
        }]);
    }
    let entries = std::fs::read_dir(guest.join("kernel")).map_err(|e| e.to_string())?;
    let mut dirs: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    dirs.sort();
    Ok(dirs
        .into_iter()
        .map(|dir| Kernel {
            image: dir.join("vmlinuz"),
            modules: Some(dir.join("modules")),
        })
        .collect())
}

/// Boots a kernel and runs the cases; one that fails is the last.
fn drive(guest: &Path, kernel: &Kernel, setup: &'static Setup, cases: &[Named]) -> Results {
    let mut results = Results {
        kernel: kernel.image.display().to_string(),
        offered: String::new(),
        acknowledged: String::new(),
        rows: vec![],
    };
    let mut machine = match Machine::boot(guest, kernel, setup) {
        Ok(machine) => machine,
        Err(error) => {
            results.rows.push(("boots", Err(error)));
            return results;
        }
    };
    results.kernel = format!("Linux {}{}", machine.release(), setup.name);
    for (name, case) in cases {
        println!("{}: {name} ...", results.kernel);
        let outcome: Outcome = case(&mut machine);
        let broken = outcome.is_err();
        if *name == cases::BINDS
            && let Ok(stats) = machine.stats()
        {
            results.offered = text_of(&stats["offered"]);
            results.acknowledged = text_of(&stats["acknowledged"]);
        }
        results.rows.push((name, outcome));
        if broken {
            println!("{}", machine.log());
            return results;
        }
    }
    results.rows.push(("ends with a summary", machine.end()));
    results
}

fn text_of(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn version(guest: &Path) -> String {
    let output = Command::new(guest.join("qemu/run"))
        .arg("--version")
        .output();
    let out = output.map(|o| text(&o.stdout)).unwrap_or_default();
    out.lines().next().unwrap_or("QEMU").to_string()
}

fn print(results: &Results, qemu: &str) {
    println!("\n{} in {qemu}", results.kernel);
    println!("  offered       {}", results.offered);
    println!("  acknowledged  {}", results.acknowledged);
    for (name, outcome) in &results.rows {
        match outcome {
            Ok(seen) => println!("  {name:<44} ok      {seen}"),
            Err(why) => println!("  {name:<44} FAILED  {why}"),
        }
    }
}
