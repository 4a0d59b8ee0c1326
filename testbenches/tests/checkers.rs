//! The protocol checkers, each with a seeded bug for each of its rules.

use testbenches::{
    Options, Testbench,
    checkers::{AXI4_CHECKER, AXIL_CHECKER, AXIS_CHECKER, FIFO_CHECKER},
};

fn passes(bench: &Testbench) {
    let options = Options::default();
    let report = (bench.run)(&options).unwrap_or_else(|e| panic!("{}: {e}", bench.name));
    println!("{}, seed {}: {report}", bench.name, options.seed);
}

#[test]
fn axis_checker() {
    passes(&AXIS_CHECKER);
}

#[test]
fn axil_checker() {
    passes(&AXIL_CHECKER);
}

#[test]
fn axi4_checker() {
    passes(&AXI4_CHECKER);
}

#[test]
fn fifo_checker() {
    passes(&FIFO_CHECKER);
}
