//! Scheduling policies: kube-scheduler's framework with its plugins, ready-made and configured.
//!
//! ```
//! let (policy, notices) = wavetank_schedulers::from_config(&serde_json::json!({
//!     "apiVersion": "kubescheduler.config.k8s.io/v1",
//!     "kind": "KubeSchedulerConfiguration",
//!     "profiles": [{"schedulerName": "packer"}],
//! })).expect("a valid configuration");
//! assert!(policy.is_responsible_for("packer"));
//! assert!(notices.is_empty());
//! ```
//!
//! Invariants: a policy is a function of what it was asked before (and of what its extenders and lots, which
//! it is handed, answer); it draws no randomness of its own and reads no clock.
//!
//! Not here: the queue, back-off, binding and asynchronous preemption (`sim/engine`).

mod builtin;
mod config;
mod extenders;
mod framework;
pub mod harness;
mod kube_scheduler;
mod plugins;
#[cfg(test)]
mod traps;

pub use builtin::{Builtin, builtin, configuration, names, policy, policy_in, set_option};
pub use config::{Notice, PolicyError, Surroundings, extenders_of, from_config, from_config_in, from_config_with};
pub use framework::{Attempt, FeasibleNode, Lots, PreFilterRejection, Profile, RejectedNode, Sampling, TieBreak};
pub use kube_scheduler::KubeScheduler;
pub use plugins::implemented_plugins;

#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-scheduler.md")]
mod writing_a_scheduler {}
