//! The scheduler alone, step by step: objects, a queue and a configuration in, one entry per attempt out.
//!
//! A batch of pods is offered in order, without time, queue back-off or kubelets. The result says for every
//! attempt which node was chosen, what every plugin gave every node, or why each was turned down, so that it
//! can be compared with what the real kube-scheduler says.
//!
//! Two settings differ from a policy in a run: all nodes are looked at (no sampling, all preemption candidates)
//! unless [`Options::sampling`] is set, and ties go to the first node by name.

mod input;
mod output;
mod run;

pub use input::{Feature, Input, Options, Preemption, QueueOrder, features_used};
pub use run::{Explained, explain, schedule};
