//! The quiet-machine check: a ratio is a result only while noise is smaller than what the ratio is to tell apart. Noise is seen by
//! measuring the same configuration twice in the same rounds.

use std::fmt::Write as _;

use crate::spread::FEWEST;

/// Most noise, as a part, under which ratios without a goal are results.
pub const MOST: f64 = 0.2;

/// What was too noisy to be a result.
#[derive(Default)]
pub struct Refused {
    what: Vec<String>,
}

impl Refused {
    /// Whether `noise` is below `effect`. Notes what it is about if not.
    pub fn allows(&mut self, what: &str, noise: f64, effect: f64) -> bool {
        let allowed = noise < effect;
        if !allowed {
            self.what.push(format!("{what}: noise {}, must be below {}", part(noise), part(effect)));
        }
        allowed
    }

    /// Nothing was.
    pub fn is_empty(&self) -> bool {
        self.what.is_empty()
    }

    /// What was, and what helps.
    pub fn advice(&self) -> String {
        let mut text =
            String::from("This machine was not quiet enough, or the rounds were too few. These are no results and are not printed:\n");
        for what in &self.what {
            let _ = writeln!(text, "  {what}");
        }
        let advice = format!(
            "End other programs and measure again; more rounds (ROUNDS=24) and longer ones (SECONDS=1) help too. Fewer than {FEWEST} \
             rounds cannot show that a machine is quiet. Nothing was written to docs/."
        );
        text + &advice
    }
}

/// Noise as a part, for reading.
pub fn part(noise: f64) -> String {
    if noise.is_finite() { format!("{:.0} %", noise * 100.0) } else { "unknown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_as_large_as_the_effect_is_refused_and_named() {
        let mut refused = Refused::default();
        assert!(refused.allows("quiet", 0.01, 0.2) && refused.is_empty());
        for noise in [0.2, 0.3, f64::INFINITY, f64::NAN] {
            assert!(!refused.allows("loud", noise, 0.2));
        }
        assert!(refused.advice().contains("loud: noise 30 %, must be below 20 %") && !refused.advice().contains("quiet:"));
    }
}
