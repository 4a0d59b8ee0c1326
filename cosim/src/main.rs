//! `cosim`: real traffic through the Verilog NIC, its driver and the kernel path.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cosim::cli::run(cosim::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::FAILURE
        }
    }
}
