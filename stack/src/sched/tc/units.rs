//! Numbers with units, as tc reads and prints them (tc/tc_util.c, lib/utils.c).

use std::fmt;
use std::str::FromStr;

/// A number and the letters behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, &text[end..]))
}

/// The number times what its unit stands for, as a whole number of at most `max`.
fn scaled(text: &str, max: u64, unit: impl Fn(&str) -> Option<f64>) -> Option<u64> {
    let (number, suffix) = split(text)?;
    let value = number * unit(&suffix.to_ascii_lowercase())?;
    (value >= 0.0 && value <= max as f64).then_some(value as u64)
}

/// The text is no number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number with a unit")]
pub(crate) struct InvalidUnit;

/// Bytes per second; in text bits per second, unless `bps` stands behind (`get_rate64()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub u64);

impl FromStr for Rate {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let unit = |suffix: &str| {
            let (scale, per_second) = match (suffix.strip_suffix("bit"), suffix.strip_suffix("bps"))
            {
                (Some(scale), _) => (scale, 1.0),
                (_, Some(scale)) => (scale, 8.0),
                _ if suffix.is_empty() => ("", 1.0),
                _ => return None,
            };
            let factor = match scale {
                "" => 1.0,
                "k" => 1e3,
                "m" => 1e6,
                "g" => 1e9,
                "t" => 1e12,
                "ki" => 1024.0,
                "mi" => 1024.0 * 1024.0,
                "gi" => 1024.0 * 1024.0 * 1024.0,
                "ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
                _ => return None,
            };
            Some(factor * per_second / 8.0)
        };
        // A link of a terabyte per second is fast enough, and leaves room for arithmetic.
        scaled(text, 1 << 50, unit).map(Rate).ok_or(InvalidUnit)
    }
}

/// `tc_print_rate()`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rate, mut units) = (self.0.saturating_mul(8), ["", "K", "M", "G", "T"].iter());
        let mut unit = units.next().copied().unwrap_or_default();
        for next in units {
            if rate < 1000 || rate % 1000 != 0 && rate < 1_000_000 {
                break;
            }
            rate /= 1000;
            unit = next;
        }
        write!(f, "{rate}{unit}bit")
    }
}

/// Bytes, at most 2³² − 1 (`get_size()`): `k`, `m` and `g` are powers of 1024, `kbit` is 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

impl FromStr for Size {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        const K: f64 = 1024.0;
        let unit = |suffix: &str| {
            Some(match suffix {
                "" | "b" => 1.0,
                "k" | "kb" => K,
                "m" | "mb" => K * K,
                "g" | "gb" => K * K * K,
                "kbit" => K / 8.0,
                "mbit" => K * K / 8.0,
                "gbit" => K * K * K / 8.0,
                _ => return None,
            })
        };
        scaled(text, u32::MAX.into(), unit)
            .map(Size)
            .ok_or(InvalidUnit)
    }
}

/// `print_size()`: about so many kilobytes, if it is nearly a whole number of them.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const K: u64 = 1024;
        let near = |unit: u64, slack: u64| {
            let units = (self.0 + unit / 2) / unit;
            (self.0 >= unit && (units * unit).abs_diff(self.0) < slack).then_some(units)
        };
        match (near(K * K, 1024), near(K, 16)) {
            (Some(mb), _) => write!(f, "{mb}Mb"),
            (_, Some(kb)) => write!(f, "{kb}Kb"),
            _ => write!(f, "{}b", self.0),
        }
    }
}

/// Microseconds (`get_time()`); a number without a unit is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Us(pub u32);

impl FromStr for Us {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let unit = |suffix: &str| match suffix {
            "" => Some(1.0),
            "ns" => None,
            _ => time_unit(suffix).map(|ns| ns / 1e3),
        };
        scaled(text, u32::MAX.into(), unit)
            .map(|us| Us(us as u32))
            .ok_or(InvalidUnit)
    }
}

/// Nanoseconds, with a unit (`get_time64()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nanos(pub i64);

impl FromStr for Nanos {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let unit = |suffix: &str| match suffix {
            // Which unit a bare number has depends on tc's version; nothing is nothing in all of them.
            "" if text == "0" => Some(1.0),
            _ => time_unit(suffix),
        };
        // Some weeks: sums with other times stay far below 2⁶³.
        scaled(text, 1 << 52, unit)
            .map(|ns| Nanos(ns as i64))
            .ok_or(InvalidUnit)
    }
}

fn time_unit(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "s" | "sec" | "secs" => 1e9,
        "ms" | "msec" | "msecs" => 1e6,
        "us" | "usec" | "usecs" => 1e3,
        "ns" | "nsec" | "nsecs" => 1.0,
        _ => return None,
    })
}

/// A time to be printed: three digits and a unit (`sprint_time()`, `sprint_time64()`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    ns: u64,
    /// Smaller units are not printed.
    finest_us: bool,
}

impl Time {
    pub fn from_us(us: u64) -> Self {
        Self {
            ns: us.saturating_mul(1000),
            finest_us: true,
        }
    }

    pub fn from_ns(ns: u64) -> Self {
        Self {
            ns,
            finest_us: false,
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.ns as f64;
        match self.ns {
            1_000_000_000.. => write!(f, "{}s", G(ns / 1e9, 3)),
            1_000_000.. => write!(f, "{}ms", G(ns / 1e6, 3)),
            _ if self.finest_us => write!(f, "{}us", self.ns / 1000),
            1_000.. => write!(f, "{}us", G(ns / 1e3, 3)),
            ns => write!(f, "{ns}ns"),
        }
    }
}

/// A part of 2³² − 1 (`get_percent()`); in text with or without `%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percent(pub u32);

impl FromStr for Percent {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let (number, suffix) = split(text).ok_or(InvalidUnit)?;
        match suffix {
            "" | "%" if number <= 100.0 => Ok(Percent(
                (number / 100.0 * f64::from(u32::MAX)).round() as u32,
            )),
            _ => Err(InvalidUnit),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}%",
            G(100.0 * f64::from(self.0) / f64::from(u32::MAX), 6)
        )
    }
}

/// C's `%.Ng`: N digits, without zeros at the end; very large and small numbers with an exponent.
struct G(f64, usize);

impl fmt::Display for G {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let G(value, digits) = *self;
        if value == 0.0 {
            return f.write_str("0");
        }
        // Rounded to so many digits; then the exponent is known.
        let text = format!("{value:.*e}", digits - 1);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let trim = |text: &str| match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text.to_owned(),
        };
        if exponent < -4 || exponent >= digits as i32 {
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(f, "{}e{sign}{:02}", trim(mantissa), exponent.abs());
        }
        let decimals = (digits as i32 - 1 - exponent) as usize;
        f.write_str(&trim(&format!("{value:.decimals$}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, bytes, shown) in [
            ("1mbit", 125_000, "1Mbit"),
            ("1500kbit", 187_500, "1500Kbit"),
            ("10Gbit", 1_250_000_000, "10Gbit"),
            ("64kbps", 64_000, "512Kbit"),
            ("1mibit", 131_072, "1048Kbit"),
            ("800", 100, "800bit"),
            ("2.5mbit", 312_500, "2500Kbit"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(
                (rate.0, rate.to_string().as_str()),
                (bytes, shown),
                "{text}"
            );
        }
        for text in [
            "",
            "mbit",
            "1xbit",
            "-1mbit",
            "1e3",
            "99999999tbit",
            "1 mbit",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("2k", 2048, "2Kb"),
            ("10000", 10_000, "10000b"),
            ("10kb", 10_240, "10Kb"),
            ("32mb", 32 << 20, "32Mb"),
            ("1599", 1599, "1599b"),
            ("2040", 2040, "2Kb"),
            ("8kbit", 1024, "1Kb"),
            ("0", 0, "0b"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(
                (size.0, size.to_string().as_str()),
                (bytes, shown),
                "{text}"
            );
        }
        assert!("4gb".parse::<Size>().is_err() && "1kB/8".parse::<Size>().is_err());
    }

    #[test]
    fn times() {
        assert_eq!("20ms".parse(), Ok(Us(20_000)));
        assert_eq!("1.5s".parse(), Ok(Us(1_500_000)));
        assert_eq!("7".parse(), Ok(Us(7)));
        assert_eq!("10us".parse(), Ok(Nanos(10_000)));
        assert!("7".parse::<Nanos>().is_err() && "5000s".parse::<Us>().is_err());
        for (us, shown) in [
            (4_999, "5ms"),
            (99_999, "100ms"),
            (720_000, "720ms"),
            (81_920, "81.9ms"),
            (999, "999us"),
            (1_234_000, "1.23s"),
            (3_600_000_000, "3.6e+03s"),
            (0, "0us"),
        ] {
            assert_eq!(Time::from_us(us).to_string(), shown);
        }
        assert_eq!(Time::from_ns(1_500).to_string(), "1.5us");
    }

    #[test]
    fn percentages() {
        for (text, shown) in [
            ("1%", "1%"),
            ("0.5", "0.5%"),
            ("100%", "100%"),
            ("33.3%", "33.3%"),
        ] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), shown);
        }
        assert!("101%".parse::<Percent>().is_err() && "x".parse::<Percent>().is_err());
    }
}
