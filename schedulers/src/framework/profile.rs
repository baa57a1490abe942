//! A profile: the plugins that serve one scheduler name, in the order in which they run.

use std::cmp::Ordering;
use std::sync::Arc;

use api::Str;
use port::{
    ClusterEvent, ClusterSnapshot, DynFilter, DynScore, PluginPoints, PodInfo, PostFilterPlugin, PreEnqueuePlugin, QueueSortPlugin,
    QueuedPod, QueueingHint, StatusCode,
};

/// The plugins that serve one scheduler name.
#[derive(Clone)]
pub struct Profile {
    pub(crate) scheduler_name: Str,
    pub(crate) queue_sort: Option<Arc<dyn QueueSortPlugin>>,
    pub(crate) pre_enqueue: Vec<Arc<dyn PreEnqueuePlugin>>,
    pub(crate) filters: Vec<Arc<dyn DynFilter>>,
    pub(crate) post_filters: Vec<Arc<dyn PostFilterPlugin>>,
    /// With weights.
    pub(crate) scores: Vec<(Arc<dyn DynScore>, i64)>,
    /// All plugins that are enabled anywhere, for hints.
    pub(crate) plugins: Vec<PluginPoints>,
    /// Zero is adaptive.
    pub(crate) percentage_of_nodes_to_score: u32,
}

impl Profile {
    /// An empty profile for `scheduler_name`.
    #[must_use]
    pub fn new(scheduler_name: &str) -> Self {
        Self {
            scheduler_name: scheduler_name.into(),
            queue_sort: None,
            pre_enqueue: Vec::new(),
            filters: Vec::new(),
            post_filters: Vec::new(),
            scores: Vec::new(),
            plugins: Vec::new(),
            percentage_of_nodes_to_score: 0,
        }
    }

    /// Adds a plugin at all its extension points, scoring with this weight.
    #[must_use]
    pub fn with(mut self, plugin: PluginPoints, weight: i64) -> Self {
        self.queue_sort = self.queue_sort.or_else(|| plugin.queue_sort.clone());
        self.pre_enqueue.extend(plugin.pre_enqueue.clone());
        self.filters.extend(plugin.filter.clone());
        self.post_filters.extend(plugin.post_filter.clone());
        self.scores.extend(plugin.score.clone().map(|score| (score, weight)));
        self.plugins.push(plugin);
        self
    }

    /// The name pods ask for.
    #[must_use]
    pub fn scheduler_name(&self) -> &str {
        &self.scheduler_name
    }

    /// Whether VolumeBinding is among its filters.
    pub(crate) fn binds_volumes(&self) -> bool {
        self.filters.iter().any(|plugin| plugin.name() == "VolumeBinding")
    }

    /// Which of two waiting pods goes first. By arrival when the profile has no QueueSort plugin.
    #[must_use]
    pub fn compare(&self, a: &QueuedPod<'_>, b: &QueuedPod<'_>) -> Ordering {
        self.queue_sort.as_ref().map_or_else(|| a.timestamp.cmp(&b.timestamp), |plugin| plugin.compare(a, b))
    }

    /// The first PreEnqueue plugin that holds `pod` back: its name, code and reasons.
    #[must_use]
    pub fn gate(&self, pod: &PodInfo) -> Option<(&'static str, StatusCode, Vec<Str>)> {
        self.pre_enqueue.iter().find_map(|plugin| {
            let status = plugin.pre_enqueue(pod);
            let code = status.code()?;
            Some((plugin.name(), code, status.reasons().iter().map(|reason| reason.as_str().into()).collect()))
        })
    }

    /// Whether any of the plugins that turned `pod` down wants another look after `event`.
    #[must_use]
    pub fn hint(&self, pod: &PodInfo, rejected_by: &[Str], event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        let wakes = |name: &Str| {
            let plugin = self.plugins.iter().find(|plugin| plugin.name == &**name);
            plugin.is_none_or(|plugin| plugin.plugin.hint(pod, event, snapshot) == QueueingHint::Queue)
        };
        // Nobody to ask: an error, which any change may have cured.
        if rejected_by.is_empty() || rejected_by.iter().any(wakes) { QueueingHint::Queue } else { QueueingHint::Skip }
    }
}
