//! The wire to a scheduler extender: a process of the user's that kube-scheduler asks over HTTP.
//!
//! What is asked and what the answers mean is `schedulers`' business; who carries it (the only I/O that a run
//! can depend on) implements [`ExtenderClient`] outside of the simulation.

use std::sync::Arc;
use std::time::Duration;

/// Where an extender listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtenderAddress {
    /// `urlPrefix`, without a slash at its end. Always plain HTTP on this machine.
    pub url_prefix: String,
    /// `httpTimeout`: how long a call may take, in wall time.
    pub timeout: Duration,
}

/// Carries calls to one extender.
pub trait ExtenderClient: Send {
    /// Sends JSON to `urlPrefix/verb` and gives back the body of a 200 answer.
    ///
    /// # Errors
    /// When there is no such answer in time, in words for the pod's event.
    fn post(&self, verb: &str, body: &str) -> Result<String, String>;
}

/// Makes the client of an extender.
pub type ConnectExtender = Arc<dyn Fn(&ExtenderAddress) -> Box<dyn ExtenderClient> + Send + Sync>;
