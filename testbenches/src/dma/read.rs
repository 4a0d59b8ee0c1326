//! `dma_read`: whose request is on the bus, and who is next.

use super::{QUEUES, id};
use crate::{
    Error, Options, Report,
    arbiter::Turns,
    block::{dma_read as port, dma_read_64},
    dut::Dut,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The addresses and lengths are last: all else is at the same places for any number of clients.
const _: () = assert!(port::AR_ADDR_I == dma_read_64::AR_ADDR_I);

/// Queues of the wide card, as in build/dma.rs.
const MANY_QUEUES: usize = 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    addr: u64,
    len: u64,
}

pub fn run(options: &Options) -> Result<Report, Error> {
    let mut report = run_build::<{ 3 * QUEUES }>(port::NAME, 16, options)?;
    report.merge(&run_build::<{ 3 * MANY_QUEUES }>(
        dma_read_64::NAME,
        8,
        options,
    )?);
    Ok(report)
}

/// `N` clients of a bus of `bus` bytes.
fn run_build<const N: usize>(name: &str, bus: u64, options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let mut dut = Dut::open_variant(name, options)?;
    let mut turns = Turns::<N>::new();
    let mut asks: [Option<Request>; N] = [None; N];
    let mut offered: Option<(usize, Request)> = None;
    let (mut ask, mut leave, mut take) = (0.1, 0.0, 1.0);
    for cycle in 0..30_000 * u64::from(options.effort) {
        if cycle % 300 == 0 {
            ask = [0.002, 0.05, 1.0][rng.random_range(0..3)];
            leave = [0.0, 0.0, 0.2][rng.random_range(0..3)];
            take = [0.1, 0.7, 1.0][rng.random_range(0..3)];
            if rng.random_bool(0.1) {
                // What waited on the bus is gone, what the clients want is not.
                dut.reset()?;
                turns = Turns::new();
                offered = None;
                report.add("resets", 1);
            }
        }
        let words = port::AR_ADDR_I + 2 * N;
        let (mut i, mut o) = ([0; dma_read_64::IN_WORDS], port::outputs());
        for (client, request) in asks.iter_mut().enumerate() {
            // One that waits may give up.
            *request = match *request {
                Some(_) if rng.random_bool(leave) => None,
                None if rng.random_bool(ask) => Some(Request {
                    addr: rng.random(),
                    len: rng.random_range(0..16),
                }),
                same => same,
            };
            if let Some(request) = request {
                i[port::AR_VALID_I] |= 1 << client;
                i[port::AR_ADDR_I + client] = request.addr;
                i[port::AR_ADDR_I + N + client] = request.len;
            }
        }
        let ready = rng.random_bool(take);
        i[port::M_AXI_ARREADY_I] = ready.into();
        dut.step(&i[..words], &mut o)?;

        // A turn whenever the bus has nothing.
        turns.asking(asks.map(|ask| ask.is_some()));
        let next = turns.next().filter(|_| offered.is_none());
        let grant = next.map_or(0, |client| 1 << client);
        dut.check(o[port::AR_READY_O] == grant, || {
            format!(
                "ar_ready_o {:#x} instead of {grant:#x}",
                o[port::AR_READY_O]
            )
        })?;
        let shown = [
            port::M_AXI_ARVALID_O,
            port::M_AXI_ARID_O,
            port::M_AXI_ARADDR_O,
            port::M_AXI_ARLEN_O,
            port::M_AXI_ARSIZE_O,
        ]
        .map(|at| o[at]);
        match offered {
            None => dut.check(shown[0] == 0, || "a request of nobody".into())?,
            Some((client, request)) => {
                let expected = transaction(client, N / 3, bus, request);
                dut.check(shown == expected, || {
                    format!("{shown:x?} instead of {expected:x?} of {client}")
                })?;
            }
        }
        let idle = offered.is_none() && next.is_none();
        let busy = o[port::BUSY_O] == 1;
        dut.check(busy != idle, || format!("busy_o {busy}"))?;
        report.add("idle cycles", idle.into());

        report.add("requests", u64::from(ready && offered.is_some()));
        offered = offered.filter(|_| !ready);
        if let Some(client) = next {
            turns.served(client).map_err(|text| dut.mismatch(text))?;
            offered = asks[client].take().map(|request| (client, request));
        }
    }
    report.cycles = dut.cycle();
    Ok(report)
}

/// valid, ID, address, length and size of a client's request.
fn transaction(client: usize, queues: usize, bus: u64, request: Request) -> [u64; 5] {
    // Descriptors, the event structure, data: of each queue one client.
    let (kind, bytes) = match client / queues {
        0 => (id::DESC, 16.min(bus)),
        1 => (id::RING, 4),
        _ => (id::DATA, bus),
    };
    let id = kind | id::queue(client % queues, queues);
    [1, id, request.addr, request.len, bytes.ilog2().into()]
}
