//! The kernel of this machine beside the stack, for the same work, in turns on one CPU. Needs root, `ip`, `tc`, `nft` and `conntrack`; what
//! is not to be had is said. `cargo bench -p stack --bench versus`
//!
//! The kernel receives frames from `BPF_PROG_TEST_RUN` with live frames, 64 at a time: an XDP program fills the headers in, and the frames
//! take the way of a driver with XDP from there on (an skb is built around each, no GRO). It is the kernel's own time, without what others
//! ran meanwhile; ours is the CPU time of the thread. Both are medians of many short runs.

mod bpf;
mod kernel;
#[allow(dead_code)]
#[path = "../source/routes.rs"]
mod routes;
#[allow(dead_code)]
#[path = "../source/mod.rs"]
mod source;

use kernel::{FRAMES, Kernel, Ports};
use source::{BATCH, FAR, Options, Router, rules, udp_frame};
use stack::fib::lpm::Lpm;
use std::hint::black_box;
use std::io;

/// Runs of each, in turns.
const ROUNDS: usize = 31;

/// CPU time of this thread in ns.
fn cpu_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// CPU time of `run` for each of `count` things.
fn timed(count: usize, run: impl FnOnce()) -> f64 {
    let start = cpu_time();
    run();
    (cpu_time() - start) / count as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs both in turns; the medians.
fn turns(
    mut ours: impl FnMut() -> f64,
    theirs: Option<&mut dyn FnMut() -> io::Result<f64>>,
) -> (f64, Option<io::Result<f64>>) {
    for _ in 0..3 {
        ours();
    }
    let Some(theirs) = theirs else {
        let mut times: Vec<_> = (0..ROUNDS).map(|_| ours()).collect();
        return (median(&mut times), None);
    };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(ours());
        match theirs() {
            Ok(ns) => b.push(ns),
            Err(error) => return (median(&mut a), Some(Err(error))),
        }
    }
    (median(&mut a), Some(Ok(median(&mut b))))
}

fn line(work: &str, ours: f64, theirs: Option<io::Result<f64>>, includes: &str) {
    match theirs {
        Some(Ok(ns)) => println!("{work:<28}{ours:>8.1}{ns:>9.1}   {includes}"),
        Some(Err(error)) => println!("{work:<28}{ours:>8.1}        -   not measured: {error}"),
        None => println!("{work:<28}{ours:>8.1}        -   {includes}"),
    }
}

/// Packets of one of our runs.
const PACKETS: usize = FRAMES as usize;

/// One run of ours.
fn batches(router: &mut Router) -> f64 {
    timed(PACKETS, || {
        for _ in 0..PACKETS / BATCH {
            router.batch();
        }
    })
}

fn forwarding(kernel: Option<&Kernel>) -> io::Result<()> {
    let frame = udp_frame(FAR, 9, 18);
    for (name, rules) in rules::forward() {
        let mut router = Router::with_rules(vec![frame.clone()], Options::default(), &rules);
        if let Some(kernel) = kernel {
            kernel.rules(&rules)?;
            let before = kernel.forwarded()?;
            kernel.frames(&frame, Ports::Fixed)?;
            let sent = kernel.forwarded()? - before;
            // The kernel says a word of its own now and then.
            if sent < u64::from(FRAMES) {
                return Err(io::Error::other(format!("{sent} of {FRAMES} forwarded")));
            }
        }
        let mut theirs = kernel.map(|kernel| || kernel.frames(&frame, Ports::Fixed));
        let (a, b) = turns(|| batches(&mut router), theirs.as_mut().map(|f| f as _));
        line(
            &format!("forward, {name}"),
            a,
            b,
            "skb built around the frame, freed by ifb",
        );
    }
    Ok(())
}

fn connections(kernel: Option<&Kernel>) -> io::Result<()> {
    let options = Options {
        vary_port: true,
        ..Options::default()
    };
    let frame = udp_frame(FAR, 9, 18);
    for (name, rules, ports) in [
        ("conntrack, established", rules::track(), Ports::Fixed),
        ("conntrack, new", rules::track(), Ports::Random),
        ("masquerade, established", rules::masquerade(), Ports::Fixed),
        ("masquerade, new", rules::masquerade(), Ports::Random),
    ] {
        let mut router = Router::with_rules(vec![frame.clone()], options, &rules);
        let new = ports == Ports::Random;
        let ours = || {
            timed(PACKETS, || {
                for _ in 0..PACKETS / BATCH {
                    router.batch();
                    if new {
                        router.stack.conntrack_mut().flush(0);
                    }
                }
            })
        };
        if let Some(kernel) = kernel {
            kernel.rules(&rules)?;
        }
        let mut theirs = kernel.map(|kernel| {
            || {
                if new {
                    kernel.flush_connections()?;
                }
                kernel.frames(&frame, ports)
            }
        });
        let (a, b) = turns(ours, theirs.as_mut().map(|f| f as _));
        let includes = match new {
            true => "made and confirmed; ours also ends them",
            false => "as above",
        };
        line(name, a, b, includes);
    }
    Ok(())
}

fn local(kernel: Option<&Kernel>) -> io::Result<()> {
    let frame = udp_frame([192, 0, 2, 20], 9, 18);
    let mut router = Router::new(vec![frame.clone()], Options::default());
    let any = "0.0.0.0".parse().expect("an address");
    let own = router.stack.udp_bind(any, 9).expect("a socket");
    let ours = || {
        timed(PACKETS, || {
            for _ in 0..PACKETS / BATCH {
                router.batch();
                while let Some(datagram) = router.stack.udp_recv_from(own) {
                    black_box(datagram.payload());
                }
            }
        })
    };
    let socket = match kernel {
        Some(kernel) => {
            kernel.rules("")?;
            Some(kernel.socket()?)
        }
        None => None,
    };
    let mut lost = false;
    let mut theirs = kernel.zip(socket.as_ref()).map(|(kernel, socket)| {
        || {
            let ns = kernel.frames(&frame, Ports::Fixed)?;
            let mut buffer = [0; 64];
            let received = std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count();
            lost |= received != PACKETS;
            Ok(ns)
        }
    });
    let (a, b) = turns(ours, theirs.as_mut().map(|f| f as _));
    let b = match lost {
        true => Some(Err(io::Error::other("datagrams were lost"))),
        false => b,
    };
    line(
        "UDP to a socket",
        a,
        b,
        "up to the socket's queue; ours with the read",
    );
    Ok(())
}

fn xdp(kernel: Option<&Kernel>) -> io::Result<()> {
    let elf = include_bytes!("../../tests/data/bpf/layering.o");
    let frame = udp_frame(FAR, 7, 18);
    let mut router = Router::new(vec![frame.clone()], Options::default());
    let attached = router.stack.xdp_attach(router.dev, elf, "xdp");
    attached.map_err(io::Error::other)?;
    let mut theirs = kernel.map(|kernel| {
        || match kernel.xdp(elf, &frame)? {
            (ns, 1) => Ok(ns),
            (_, verdict) => Err(io::Error::other(format!("verdict {verdict}"))),
        }
    });
    let (a, b) = turns(|| batches(&mut router), theirs.as_mut().map(|f| f as _));
    line(
        "XDP drop",
        a,
        b,
        "the program alone, compiled; ours interprets it, with driver and buffer",
    );
    Ok(())
}

fn lookups(kernel: Option<&Kernel>) -> io::Result<()> {
    for (name, routes) in [("1 k", 1_000), ("100 k", 100_000), ("1 M", 1_000_000)] {
        let (prefixes, keys) = routes::table(routes, routes::v4);
        let mut lpm = Lpm::default();
        for (value, &(key, len)) in prefixes.iter().enumerate() {
            lpm.insert(key, len, value as u32);
        }
        // Few enough at a time that nobody else runs in between.
        let mut times: Vec<_> = (0..10)
            .flat_map(|_| keys.chunks(4096))
            .map(|keys| {
                timed(keys.len(), || {
                    for &key in keys {
                        black_box(lpm.longest(black_box(key)));
                    }
                })
            })
            .collect();
        let theirs = kernel.map(|kernel| {
            // Each table in a namespace of its own would be cleaner, and slower: routes of the smaller one stay.
            kernel.add_routes(&prefixes)?;
            kernel.fib_lookup(&keys)
        });
        line(
            &format!("LPM, {name} routes"),
            median(&mut times),
            theirs,
            "bpf_fib_lookup(), which also fills in what it found",
        );
    }
    Ok(())
}

fn main() {
    let kernel = Kernel::new();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match &kernel {
        Ok(_) => println!("kernel {}, ns per packet:", release.trim()),
        Err(error) => println!("ours only, ns per packet (the kernel is left out: {error})"),
    }
    println!(
        "{:<28}{:>8}{:>9}   the kernel's figure",
        "work", "ours", "kernel"
    );
    let kernel = kernel.as_ref().ok();
    for part in [forwarding, connections, local, xdp, lookups] {
        if let Err(error) = part(kernel) {
            println!("stopped: {error}");
        }
    }
    println!(
        "GRO: live frames pass the kernel's by. fq_codel: see the bench sched; few kernels of virtual machines have it."
    );
}
