//! Requests from outside.

use super::{
    CircuitBreaker, ClientThrottle, ConnectionPool, Connections, Dns, DurationText, Law, NameText, Part, RateText, RatioText, Retries,
    TimeoutText, fields,
};

fields! {
    /// Requests from outside.
    Traffic as "mapping, or list of sources" {
        /// exact: every request by itself; cohort: requests counted together, at a cost that does not depend on their number; auto (default): exact up to exactEventBudget, or where cohort lacks something or fewer than 5 pods stand behind a service.
        engine: Option<String>,
        /// Length of the windows in which requests are counted. Default 5s.
        window: Option<DurationText>,
        /// Events (about three per request and call) beyond which auto takes cohort. Default 50000000.
        exact_event_budget: Option<u64>,
        /// Where requests come from.
        sources: Option<Vec<Part<Source>>>,
        /// What answers beyond the cluster: for Services of type ExternalName, and for those without a selector.
        external: Option<Vec<Part<External>>>,
    }

    /// A source of requests. Its load is written as `rate`, as k6 `stages`, or as a CSV (`path`).
    Source as "mapping" {
        /// Name.
        name: String,
        /// The Service asked: `name`, or `namespace/name`.
        to: Option<String>,
        /// The Service asked, as {service: name}; instead of to.
        target: Option<Target>,
        /// ramping-arrival-rate (startRate and stages), constant-arrival-rate (rate), constant-vus (users) or replay (path). Follows from the other fields.
        executor: Option<String>,
        /// open (default): callers do not wait for each other; closed: `users` who wait for their answers.
        model: Option<String>,
        /// Users of a closed source.
        users: Option<u32>,
        /// From an answer to the user's next request. Default 0s; a bare duration is the mean of an exponential.
        think_time: Option<Part<Law>>,
        /// Requests per second: `300/s`, or a shape.
        rate: Option<Part<Rate>>,
        /// Rate before the first stage. Default 0.
        start_rate: Option<RateText>,
        /// In each stage the rate goes in a straight line to its target; the last target holds until the end of the run.
        stages: Option<Vec<Part<Stage>>>,
        /// When the load begins. Default at once.
        start_time: Option<DurationText>,
        /// A CSV with one row per step: the first column is the time in seconds, `column` the requests per second from then on.
        path: Option<String>,
        /// The CSV's column. Default the second.
        column: Option<NameText>,
        /// Multiplies the CSV's rates. Default 1.
        scale: Option<f64>,
        /// poisson (default): independent of each other; deterministic: evenly spaced; mmpp: poisson in bursts.
        arrivals: Option<String>,
        /// mmpp: how the bursts are.
        bursts: Option<Part<Bursts>>,
        /// From intended start to answer, for one attempt. Default 15s; `none` waits for ever.
        timeout: Option<TimeoutText>,
        /// How long a silent address is tried. Default 1s.
        connect_timeout: Option<DurationText>,
        /// Trying again. Default never.
        retries: Option<Part<Retries>>,
        /// Limits beyond which attempts fail at once, and endpoints are left alone. Default none; `{}` takes Envoy's numbers.
        circuit_breaker: Option<Part<CircuitBreaker>>,
        /// The source rejects requests by itself when too few are accepted. Default never; `{}` takes the SRE book's numbers.
        client_throttle: Option<Part<ClientThrottle>>,
        /// Connections of the source, one request each.
        connection_pool: Option<Part<ConnectionPool>>,
        /// As kube-proxy does it (the default), random, round-robin or least-request.
        balancing: Option<String>,
        /// Connections that are used again. Default a new one for each attempt.
        connections: Option<Part<Connections>>,
        /// How names of headless Services are looked up.
        dns: Option<Part<Dns>>,
        /// Where requests come in: ClusterIP (default; from clients on the nodes, evenly), NodePort (through any node), LoadBalancer (through nodes found healthy) or Ingress (through an ingress controller, which asks the endpoints in turn).
        via: Option<String>,
        /// Clients with an address of their own, for sessionAffinity and connections. Default: each request is another client's; each user of a closed source is a client.
        clients: Option<u32>,
        /// The address that NetworkPolicies see, such as 203.0.113.7. Default one that no ipBlock but /0 holds.
        address: Option<String>,
    }

    /// Something beyond the cluster that answers, always there.
    External as "mapping" {
        /// The Service: `name`, or `namespace/name`.
        service: String,
        /// Time of one request. Default 0.
        latency: Option<Part<Law>>,
        /// Share of requests that are answered with an error. Default 0.
        error_ratio: Option<RatioText>,
        /// Requests it works on at once. Default no limit.
        concurrency: Option<u32>,
        /// Requests that wait for a free place; more are shed. Default 1024.
        queue_limit: Option<u32>,
    }

    /// Bursts: the rate in two phases of exponential length; its mean stays.
    Bursts as "mapping" {
        /// Rate in a burst over the mean rate. Default 3.
        factor: Option<f64>,
        /// Mean length of a burst. Default 10s.
        burst: Option<DurationText>,
        /// Mean length of the time between. Default 50s.
        calm: Option<DurationText>,
    }

    /// Who is asked.
    Target as "mapping" {
        /// The Service: `name`, or `namespace/name`.
        service: String,
    }

    /// A stage.
    Stage as "mapping" {
        /// How long it takes; 0s jumps.
        duration: DurationText,
        /// The rate at its end.
        target: RateText,
    }

    /// A load shape.
    Rate as "a rate such as `300/s`, or mapping" {
        /// constant {rate}, step {base, peak, at, hold}, ramp {from, to, at, duration}, spike {base, peak, at, rampUp, hold, rampDown}, flash-crowd {base, peak, at, decay}, diurnal {base, peak, period, at} or csv {path, column, scale}.
        shape: String,
        /// constant: the rate.
        rate: Option<RateText>,
        /// The rate before and after.
        base: Option<RateText>,
        /// The highest rate.
        peak: Option<RateText>,
        /// When it begins; diurnal: when it is highest. Default at once.
        at: Option<DurationText>,
        /// ramp: the rate at the beginning.
        from: Option<RateText>,
        /// ramp: the rate at the end, which then holds.
        to: Option<RateText>,
        /// ramp: how long it takes.
        duration: Option<DurationText>,
        /// spike: from base to peak in a straight line.
        ramp_up: Option<DurationText>,
        /// step, spike: how long the peak lasts. Default for ever.
        hold: Option<DurationText>,
        /// spike: from peak to base in a straight line. Default at once.
        ramp_down: Option<DurationText>,
        /// flash-crowd: time in which the excess falls to 1/e.
        decay: Option<DurationText>,
        /// diurnal: length of a day. Default 24h.
        period: Option<DurationText>,
        /// csv: as the source's own.
        path: Option<String>,
        /// csv: as the source's own.
        column: Option<NameText>,
        /// csv: as the source's own.
        scale: Option<f64>,
    }
}
