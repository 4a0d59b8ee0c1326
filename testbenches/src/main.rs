//! Runs testbenches from the command line.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};
use testbenches::{Options, TESTBENCHES, conformance};

/// RTL testbenches of the Wirepath NIC.
#[derive(Debug, Parser)]
#[command(name = "testbenches", version)]
struct Cli {
    /// Name of the testbench; all of them without it
    name: Option<String>,
    /// List the testbenches and what each compares
    #[arg(long)]
    list: bool,
    /// Seed of all random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Amount of stimulus: 1 as in `cargo test`, more for longer runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    effort: u32,
    /// Write all cycles to this FST file, FILE.0.fst, FILE.1.fst … where a testbench builds several cards; it must be named
    #[arg(long, value_name = "FILE", requires = "name")]
    waves: Option<PathBuf>,
    /// Run nic_random and print which bins of functional coverage it hit, and which never
    #[arg(long, conflicts_with_all = ["name", "list"])]
    coverage: bool,
    /// Write CONFORMANCE.md: which test shows which requirement of the specification
    #[arg(long, conflicts_with_all = ["name", "list"])]
    conformance: bool,
}

/// Writes the report if tags and requirements fit together.
fn write_conformance() -> ExitCode {
    let written = conformance::scan(&conformance::root()).map(|tags| {
        let wrong = conformance::check(&tags);
        (wrong, conformance::markdown(&tags))
    });
    let path = conformance::report_path();
    match written {
        Ok((wrong, text)) if wrong.is_empty() => match std::fs::write(&path, text) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => eprintln!("{}: {error}", path.display()),
        },
        Ok((wrong, _)) => eprintln!("{}", wrong.join("\n")),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

/// The whole card under random stimulus, and what that was.
#[cfg(feature = "nic")]
fn cover(options: &Options) -> ExitCode {
    println!(
        "nic_random, seed {}, effort {}",
        options.seed, options.effort
    );
    match testbenches::nic::random_coverage(options) {
        Ok((report, coverage)) => {
            print!("nic_random: {report}\n{}", coverage.report());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("nic_random: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(feature = "nic"))]
fn cover(_: &Options) -> ExitCode {
    eprintln!("built without the card: no feature `nic`");
    ExitCode::FAILURE
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.conformance {
        return write_conformance();
    }
    let options = Options {
        seed: cli.seed,
        effort: cli.effort,
        waves: cli.waves,
        bug: None,
    };
    if cli.coverage {
        return cover(&options);
    }
    if cli.list {
        for bench in TESTBENCHES {
            println!("{:<16} {}", bench.name, bench.about);
        }
        return ExitCode::SUCCESS;
    }
    let named = |name: &String| TESTBENCHES.iter().filter(|b| b.name == *name).collect();
    let chosen: Vec<_> = cli
        .name
        .as_ref()
        .map_or_else(|| TESTBENCHES.iter().collect(), named);
    if chosen.is_empty() {
        eprintln!("no such testbench; --list shows them");
        return ExitCode::FAILURE;
    }
    let mut failed = false;
    for bench in chosen {
        match (bench.run)(&options) {
            Ok(report) => println!("{}: {report}", bench.name),
            Err(error) => {
                eprintln!("{}: {error}", bench.name);
                failed = true;
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
