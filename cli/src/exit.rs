//! What a command tells the shell. One enum; `wavetank explain exit-codes` is made from it.

/// Exit codes, in the order in which the first that applies is returned (success last).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Unexpected = 1,
    Usage = 2,
    Invalid = 3,
    Limit = 8,
    Expectations = 4,
    Different = 6,
    Nothing = 7,
    Success = 0,
}

impl Exit {
    pub(crate) const ALL: [Self; 8] =
        [Self::Success, Self::Unexpected, Self::Usage, Self::Invalid, Self::Expectations, Self::Different, Self::Nothing, Self::Limit];

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Unexpected => "unexpected error: the machine (I/O) or a bug",
            Self::Usage => "wrong usage",
            Self::Invalid => "invalid input: scenario, manifest, policy or trace",
            Self::Limit => "stopped by a limit (--max-events, --max-wall); partial results kept",
            Self::Expectations => "expectations of the scenario failed",
            Self::Different => "difference found (diff, replay --verify, merge of parts that disagree)",
            Self::Nothing => "nothing selected",
        }
    }

    /// Which of two is returned: the one that stands first in the enum.
    pub(crate) fn or(self, other: Self) -> Self {
        const ORDER: [Exit; 8] =
            [Exit::Unexpected, Exit::Usage, Exit::Invalid, Exit::Limit, Exit::Expectations, Exit::Different, Exit::Nothing, Exit::Success];
        ORDER.into_iter().find(|exit| *exit == self || *exit == other).unwrap_or(self)
    }

    /// The text of `wavetank explain exit-codes`.
    pub(crate) fn table() -> String {
        let rows: String = Self::ALL.iter().map(|exit| format!("  {:>3}  {}\n", *exit as u8, exit.meaning())).collect();
        rows + "  130  interrupted; nothing half-written is left\n"
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
