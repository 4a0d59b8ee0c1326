//! Testbench of notification moderation: packets, looks, limits that change, and the timer.

use crate::{Error, Options, Report, Testbench, block::vq_moderation as port, dut::Dut};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// One queue's moderation against the specification's rule.
pub const VQ_MODERATION: Testbench = Testbench {
    name: "vq_moderation",
    about: "when a queue is let notify: packets, microseconds, limits that change in between",
    run,
};

/// Cycles that the timer of the bench is late at the most.
const LATE: u64 = 33;

/// Near the end of 48 bits, so that every run passes it.
const START: u64 = (1 << 48) - 50_000;

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let mut dut = Dut::open(port::NAME, options)?;
    let (mut max_packets, mut max_usecs) = (0u32, 0u32);
    // Packets since the last look, and when the first came.
    let (mut packets, mut first) = (0u64, 0u64);
    // Cycles for which the limits have been what they are.
    let mut steady = 0u64;
    // When the bench's timer pulses.
    let mut timer: Option<u64> = None;
    // The queue was let look in the cycle before and did not.
    let mut free = false;
    // Limits and outputs of a cycle without busy_o, after which the next one must have the same.
    let mut asleep = None;
    let cycles = 300_000 * u64::from(options.effort);
    for now in START..START + cycles {
        let enable = !rng.random_bool(0.0005);
        if rng.random_bool(0.002) {
            max_packets = *[0, 1, 2, 15, 1000, u32::MAX].choose(&mut rng).unwrap_or(&0);
            max_usecs = *[0, 1, 2, 5, 20, u32::MAX].choose(&mut rng).unwrap_or(&0);
            (steady, free) = (0, false);
        }
        let arriving = if rng.random_bool(0.02) {
            rng.random_range(1..4)
        } else {
            0
        };
        let due = timer.is_some_and(|at| at <= now);
        // Now and then a pulse that belongs to nothing.
        let stray = rng.random_bool(0.001);
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        i[port::ENABLE_I] = enable.into();
        i[port::COAL_I] = u64::from(max_packets) << 32 | u64::from(max_usecs);
        i[port::CYCLE_I] = now & ((1 << 48) - 1);
        i[port::PACKETS_I] = arriving;
        i[port::DUE_I] = (due || stray).into();

        // What the rule says, and whether the timer may still be on its way.
        let cycles = u64::from(max_usecs) * 625 / 4;
        let off = max_packets == 0 || max_usecs == 0;
        let full = packets >= u64::from(max_packets);
        let over = packets > 0 && now >= first + cycles;
        let late = packets > 0 && now > first + cycles + LATE && steady > LATE + 2;
        let may_look = off || full || over;
        let look = free && packets > 0 && rng.random_bool(0.5);
        i[port::LOOK_I] = look.into();
        dut.step(&i, &mut o)?;
        let mismatch = |message: String| {
            dut.mismatch(format!(
                "{message}: {packets} packets since {first}, limits {max_packets}, {max_usecs} us, now {now}"
            ))
        };
        let shown = [port::HOLD_O, port::TIMER_SET_O, port::TIMER_CLEAR_O].map(|pin| o[pin]);
        if let Some((limits, before)) = asleep
            && limits == i[port::COAL_I]
            && before != shown
        {
            return Err(mismatch(format!("{before:?} is {shown:?} without busy_o")));
        }
        let input = arriving != 0 || look || due || stray || !enable;
        asleep = (o[port::BUSY_O] == 0 && !input).then_some((i[port::COAL_I], shown));
        let hold = o[port::HOLD_O] == 1;
        // Without a packet it does not matter until the limits have been the same for a cycle.
        if !(hold || may_look || packets == 0 && steady < 2) {
            return Err(mismatch("let go too early".into()));
        }
        if hold && (off || full || late) {
            return Err(mismatch("held too long".into()));
        }
        if o[port::TIMER_SET_O] == 1 {
            let deadline = o[port::TIMER_DEADLINE_O];
            let ahead = deadline.wrapping_sub(now) & ((1 << 48) - 1);
            // A deadline that has passed is due at once.
            let ahead = if ahead >> 47 == 1 { 0 } else { ahead };
            timer = Some(now + ahead + rng.random_range(2..LATE));
            report.add("timers", 1);
        } else if o[port::TIMER_CLEAR_O] == 1 || due {
            timer = None;
        }
        report.add("expired", u64::from(look && over && !full && !off));
        report.add("full", u64::from(look && full && !off));
        free = !hold && !look && enable;
        if look || !enable {
            packets = 0;
        }
        if enable && arriving > 0 {
            if packets == 0 {
                first = now;
            }
            packets += arriving;
        }
        steady += 1;
    }
    report.cycles = dut.cycle();
    Ok(report)
}
