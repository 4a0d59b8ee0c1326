//! How delays vary (`tabledist()`).

use super::random::{Correlated, Prng};

/// What 1.0 is in a table (`NETEM_DIST_SCALE`).
const SCALE: i64 = 8192;
/// Entries of the table.
const TABLE_SIZE: usize = 4096;

/// The shape of the variation.
#[derive(Clone, Debug, Default)]
pub(crate) enum Distribution {
    /// Every value is as likely.
    #[default]
    Uniform,
    /// The normal distribution, as iproute2's `normal.dist`: values of the inverse distribution function at equal steps, in units of the
    /// standard deviation times 8192.
    Normal(Vec<i16>),
}

impl Distribution {
    /// The table of the normal distribution: for each step the largest of the points x = −10, −9.99995, … whose probability rounds down to
    /// it or nearer.
    pub fn normal() -> Self {
        let steps = TABLE_SIZE as f64;
        let mut table = vec![0i16; TABLE_SIZE];
        for (i, entry) in table.iter_mut().enumerate() {
            // The middle of the step keeps the ends finite.
            *entry = (inverse_normal((i as f64 + 0.5) / steps) * SCALE as f64).round() as i16;
        }
        Distribution::Normal(table)
    }
}

/// x such that a normally distributed value is below it with probability `p`, 0 < p < 1, by bisection.
fn inverse_normal(p: f64) -> f64 {
    let (mut low, mut high) = (-4.0, 4.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        match normal_below(middle) < p {
            true => low = middle,
            false => high = middle,
        }
    }
    (low + high) / 2.0
}

/// Probability of a value below `x`: the series x + x³/3 + x⁵/(3·5) + … under the bell curve. Only sums, products and `exp`.
fn normal_below(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while f64::abs(term) > 1e-12 {
        n += 2.0;
        term *= x * x / n;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// A delay that varies.
#[derive(Clone, Debug, Default)]
pub(super) struct Delay {
    /// ns.
    pub latency: i64,
    /// ns; half the width, or the standard deviation.
    pub jitter: i64,
    pub correlation: Correlated,
    pub distribution: Distribution,
}

impl Delay {
    /// `tabledist()`: ns, negative when the jitter exceeds the latency.
    pub fn draw(&mut self, prng: &mut Prng) -> i64 {
        let (mu, sigma) = (self.latency, self.jitter);
        if sigma == 0 {
            return mu;
        }
        let random = self.correlation.next_u32(prng);
        match &self.distribution {
            Distribution::Uniform => i64::from(random) % (2 * sigma) + mu - sigma,
            Distribution::Normal(table) => {
                let t = i64::from(table[random as usize % table.len()]);
                let fine = sigma % SCALE * t;
                let rounded = fine + if fine >= 0 { SCALE / 2 } else { -SCALE / 2 };
                rounded / SCALE + sigma / SCALE * t + mu
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_table_is_normal() {
        let Distribution::Normal(table) = Distribution::normal() else {
            panic!("a table");
        };
        let at = |p: f64| f64::from(table[(p * TABLE_SIZE as f64) as usize]) / SCALE as f64;
        // Quantiles from any book.
        for (p, x) in [
            (0.5, 0.0),
            (0.841_345, 1.0),
            (0.977_25, 2.0),
            (0.025, -1.959_96),
        ] {
            assert!((at(p) - x).abs() < 0.01, "{p}: {}", at(p));
        }
        assert!(table.is_sorted());
    }
}
