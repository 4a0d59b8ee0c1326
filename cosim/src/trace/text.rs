//! Journeys as text: the same run always gives the same bytes.

use std::fmt::Write;

use super::{Journey, Ps};

/// Renders one journey.
///
/// `origin`: the simulated time that is shown as 0, usually the first byte of the packet that
/// started the chain.
pub fn journey(journey: &Journey, origin: Ps) -> String {
    let mut events: Vec<_> = journey.events.iter().collect();
    events.sort_by_key(|e| e.at);

    let mut text = format!("{}, {} bytes", journey.key, journey.len);
    if let Some(cause) = journey.cause {
        let _ = write!(text, ", caused by {cause}");
    }
    let _ = writeln!(text, ": {}", journey.what);
    let _ = writeln!(
        text,
        "  {:>13} {:>11}  {:<7} {:<22} time 0 is {} ns",
        "ns",
        "+ns",
        "where",
        "stage",
        nanoseconds(origin as i128)
    );
    let mut previous: Option<Ps> = None;
    for event in events {
        let delta = previous.map_or(String::new(), |p| nanoseconds(i128::from(event.at - p)));
        let line = format!(
            "  {:>13} {:>11}  {:<7} {:<22} {}",
            nanoseconds(i128::from(event.at) - i128::from(origin)),
            delta,
            event.layer.name(),
            event.stage,
            event.detail
        );
        text.push_str(line.trim_end());
        text.push('\n');
        previous = Some(event.at);
    }
    text
}

/// Picoseconds as nanoseconds with one digit behind the point (a clock cycle is 6.4 ns).
fn nanoseconds(ps: i128) -> String {
    let sign = if ps < 0 { "-" } else { "" };
    let tenths = ps.unsigned_abs() / 100;
    format!("{sign}{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, PacketKey};
    use super::*;

    #[test]
    fn a_journey_reads_like_this() {
        let mut j = Journey::new(
            PacketKey::Made(3),
            Some(PacketKey::In(5)),
            98,
            "ICMP reply".into(),
        );
        j.push(2_000_000, Layer::Wire, "last byte", "FCS good".into());
        j.push(1_900_000, Layer::Wire, "first byte", String::new());
        assert_eq!(
            journey(&j, 1_000_000),
            "host #3, 98 bytes, caused by in #5: ICMP reply\n\
             \x20            ns         +ns  where   stage                  time 0 is 1000.0 ns\n\
             \x20         900.0              wire    first byte\n\
             \x20        1000.0       100.0  wire    last byte              FCS good\n"
        );
    }

    #[test]
    fn nanoseconds_are_cut_not_rounded() {
        assert_eq!(nanoseconds(6_400), "6.4");
        assert_eq!(nanoseconds(-150), "-0.1");
        assert_eq!(nanoseconds(1_999), "1.9");
    }
}
