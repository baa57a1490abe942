//! What a command tells the shell. One enum; `wavetank explain exit-codes` is made from it.

use reports::gate::Tested;

/// Exit codes, in the order in which the first that applies is returned (success last).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Unexpected = 1,
    Usage = 2,
    Invalid = 3,
    Limit = 8,
    Expectations = 4,
    Baseline = 5,
    Different = 6,
    Nothing = 7,
    Success = 0,
}

impl Exit {
    /// By number.
    pub(crate) const ALL: [Self; 9] = [
        Self::Success,
        Self::Unexpected,
        Self::Usage,
        Self::Invalid,
        Self::Expectations,
        Self::Baseline,
        Self::Different,
        Self::Nothing,
        Self::Limit,
    ];

    /// Of several that apply the first is returned.
    const ORDER: [Self; 9] = [
        Self::Unexpected,
        Self::Usage,
        Self::Invalid,
        Self::Limit,
        Self::Expectations,
        Self::Baseline,
        Self::Different,
        Self::Nothing,
        Self::Success,
    ];

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Unexpected => "unexpected error: the machine (I/O) or a bug",
            Self::Usage => "wrong usage",
            Self::Invalid => "invalid input: scenario, manifest, policy or trace",
            Self::Limit => "stopped by a limit (--max-events, --max-wall); partial results kept",
            Self::Expectations => "expectations of the scenario failed",
            Self::Baseline => "expectations hold, but something is worse than the baseline",
            Self::Different => "difference found (diff, replay --verify, baseline diff, merge of parts that disagree)",
            Self::Nothing => "nothing selected",
        }
    }

    /// Which of two is returned: the one that stands first in the enum.
    pub(crate) fn or(self, other: Self) -> Self {
        Self::ORDER.into_iter().find(|exit| *exit == self || *exit == other).unwrap_or(self)
    }

    /// What a scenario comes to.
    pub(crate) fn of(tested: &Tested) -> Self {
        if !tested.stopped.is_empty() {
            Self::Limit
        } else if !tested.was_skipped() && !tested.verdict.passed {
            Self::Expectations
        } else if tested.is_worse() {
            Self::Baseline
        } else {
            Self::Success
        }
    }

    /// As `--exit-zero` has it: what was found is no failure, what went wrong still is.
    pub(crate) fn or_zero(self, exit_zero: bool) -> Self {
        if exit_zero && matches!(self, Self::Expectations | Self::Baseline) { Self::Success } else { self }
    }

    /// The text of `wavetank explain exit-codes`.
    pub(crate) fn table() -> String {
        let rows: String = Self::ALL.iter().map(|exit| format!("  {:>3}  {}\n", *exit as u8, exit.meaning())).collect();
        let order: Vec<String> = Self::ORDER
            .iter()
            .filter(|exit| matches!(exit, Self::Unexpected | Self::Invalid | Self::Limit | Self::Expectations | Self::Baseline))
            .map(|exit| (*exit as u8).to_string())
            .collect();
        format!(
            "Exit codes:\n{rows}  130  interrupted; nothing half-written is left, and `--resume` goes on with a comparison, sweep or search\nWhen several apply, the first of {} is returned; `--exit-zero` returns 0 for {} and {}.\n",
            order.join(", "),
            Self::Expectations as u8,
            Self::Baseline as u8,
        )
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
