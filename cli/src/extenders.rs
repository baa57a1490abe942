//! The wire to scheduler extenders: HTTP on this machine, the only I/O a run can depend on.
//!
//! Calls block, as kube-scheduler's do, and take no simulated time. Neither proxies nor redirects are followed:
//! both could lead off this machine, which the reading of the configuration has made sure of.

use std::sync::Arc;
use std::time::Duration;

use port::{ConnectExtender, ExtenderAddress, ExtenderClient};

/// More than this is no answer of an extender.
const LARGEST_ANSWER_BYTES: u64 = 256 << 20;

struct Http {
    agent: ureq::Agent,
    url_prefix: String,
    timeout: Duration,
}

/// How a run reaches extenders.
pub(crate) fn connect() -> ConnectExtender {
    Arc::new(|address: &ExtenderAddress| -> Box<dyn ExtenderClient> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(address.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("wavetank/", env!("CARGO_PKG_VERSION")))
            .build();
        Box::new(Http { agent: config.into(), url_prefix: address.url_prefix.clone(), timeout: address.timeout })
    })
}

/// What a result says of the processes it depends on.
pub(crate) fn note(url: &str) -> String {
    format!("depends on extender {url}: decisions are as good and as repeatable as its answers")
}

impl ExtenderClient for Http {
    fn post(&self, verb: &str, body: &str) -> Result<String, String> {
        let url = format!("{}/{verb}", self.url_prefix);
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => format!("Post {url:?}: no answer within {:?}", self.timeout),
            error => format!("Post {url:?}: {error}"),
        };
        let mut response = self.agent.post(&url).header("Content-Type", "application/json").send(body).map_err(failed)?;
        // Upstream: pkg/scheduler/extender.go (send).
        if response.status().as_u16() != 200 {
            return Err(format!("failed {verb} with extender at URL {url}, code {}", response.status().as_u16()));
        }
        response.body_mut().with_config().limit(LARGEST_ANSWER_BYTES).read_to_string().map_err(failed)
    }
}
