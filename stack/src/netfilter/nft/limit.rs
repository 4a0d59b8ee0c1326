//! Token buckets and quotas (`net/netfilter/nft_limit.c`, `nft_quota.c`).

use super::stmt::Limit;
use crate::Ps;

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Tokens are nanoseconds: a packet or byte costs as many as it may take at the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    tokens: u64,
    tokens_max: u64,
    /// Nanoseconds per unit of time.
    nsecs: u64,
    rate: u64,
    bytes: bool,
    invert: bool,
    /// When tokens were counted last, in nanoseconds; `None` before the first packet.
    last: Option<u64>,
}

/// Whether the bucket can be counted (`nft_limit_init()` refuses with `EOVERFLOW`).
pub(crate) fn fits(limit: &Limit) -> bool {
    let Some(nsecs) = limit.unit.checked_mul(NSEC_PER_SEC) else {
        return false;
    };
    let burst = effective_burst(limit);
    match limit.bytes {
        // Bytes: nsecs * (rate + burst) must fit.
        true => limit
            .rate
            .checked_add(burst)
            .and_then(|n| nsecs.checked_mul(n))
            .is_some(),
        false => nsecs
            .checked_div(limit.rate)
            .and_then(|n| n.checked_mul(burst))
            .is_some(),
    }
}

fn effective_burst(limit: &Limit) -> u64 {
    if limit.bytes || limit.burst > 0 {
        limit.burst
    } else {
        // NFT_LIMIT_PKT_BURST_DEFAULT
        5
    }
}

impl Bucket {
    /// A full bucket. `limit` passed [`fits`].
    pub fn new(limit: &Limit) -> Self {
        let nsecs = limit.unit.saturating_mul(NSEC_PER_SEC);
        let burst = effective_burst(limit);
        let tokens_max = match limit.bytes {
            true => nsecs.saturating_mul(limit.rate.saturating_add(burst)) / limit.rate.max(1),
            false => (nsecs / limit.rate.max(1)).saturating_mul(burst),
        };
        Self {
            tokens: tokens_max,
            tokens_max,
            nsecs,
            rate: limit.rate.max(1),
            bytes: limit.bytes,
            invert: limit.over,
            last: None,
        }
    }

    /// `nft_limit_eval()`: whether a packet of `len` bytes at `now` goes on.
    pub fn pass(&mut self, len: usize, now: Ps) -> bool {
        let now = now / 1000;
        let cost = match self.bytes {
            true => self.nsecs.saturating_mul(len as u64) / self.rate,
            false => self.nsecs / self.rate,
        };
        let elapsed = now.saturating_sub(self.last.unwrap_or(now));
        self.last = Some(now);
        let tokens = self.tokens.saturating_add(elapsed).min(self.tokens_max);
        match tokens.checked_sub(cost) {
            Some(left) => {
                self.tokens = left;
                !self.invert
            }
            None => {
                self.tokens = tokens;
                self.invert
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: u64, unit: u64, bytes: bool, burst: u64, over: bool) -> Bucket {
        Bucket::new(&Limit {
            rate,
            unit,
            bytes,
            burst,
            over,
        })
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = limit(10, 1, false, 5, false);
        let passed = (0..20).filter(|_| bucket.pass(100, 0)).count();
        assert_eq!(passed, 5);
        // A tenth of a second buys one packet.
        assert!(!bucket.pass(100, crate::SEC / 10 - 1000));
        assert!(bucket.pass(100, crate::SEC / 10));
        assert!(!bucket.pass(100, crate::SEC / 10));
    }

    #[test]
    fn over_is_the_opposite() {
        let mut bucket = limit(1, 60, false, 2, true);
        let seen: Vec<_> = (0..4).map(|_| bucket.pass(1, 0)).collect();
        assert_eq!(seen, [false, false, true, true]);
    }

    #[test]
    fn bytes_are_counted() {
        let mut bucket = limit(1000, 1, true, 500, false);
        assert!(bucket.pass(1000, 0));
        assert!(bucket.pass(500, 0));
        assert!(!bucket.pass(1, 0));
        assert!(bucket.pass(1, crate::SEC / 1000));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let limit = |rate, unit, bytes, burst| Limit {
            rate,
            unit,
            bytes,
            burst,
            over: false,
        };
        assert!(fits(&limit(10, 1, false, 5)));
        assert!(!fits(&limit(10 << 20, 3600, true, 5)));
        assert!(fits(&limit(10 << 20, 1, true, 5)));
    }
}
