//! Quotas and limit ranges.

use std::collections::BTreeMap;

use api::{
    LimitRange, LimitRangeItem, LimitType, QuotaList, QuotaScope, QuotaStatus, ResourceList, ResourceName, ResourceQuota, Str, is_cpu,
};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;

use super::meta::object_meta;
use crate::check::{Cx, NameRule};
use crate::source::Step;

/// A ResourceQuota.
pub(crate) fn resource_quota(cx: &mut Cx<'_>, from: &core::ResourceQuota) -> ResourceQuota {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else { return ResourceQuota { meta, ..ResourceQuota::default() } };
    let hard = amounts(cx, spec.hard.as_ref(), &at.key("hard"));
    let status = from.status.as_ref().and_then(|status| {
        let status_at = root.key("status");
        let hard = amounts(cx, status.hard.as_ref(), &status_at.key("hard"));
        (!hard.is_empty()).then(|| QuotaStatus { hard, used: amounts(cx, status.used.as_ref(), &status_at.key("used")) })
    });
    ResourceQuota { meta, hard, scopes: scopes(cx, spec, &at), status }
}

fn amounts(cx: &mut Cx<'_>, from: Option<&BTreeMap<String, RawQuantity>>, at: &Step<'_>) -> QuotaList {
    let mut list = QuotaList::new();
    for (name, raw) in from.into_iter().flatten() {
        if let Some(quantity) = cx.quantity(raw, &at.key(name)) {
            list.insert(name.as_str().into(), if is_cpu(name) { quantity.milli_value() } else { quantity.value() });
        }
    }
    list
}

fn scopes(cx: &mut Cx<'_>, spec: &core::ResourceQuotaSpec, at: &Step<'_>) -> Vec<QuotaScope> {
    let scopes_at = at.key("scopes");
    let mut found: Vec<QuotaScope> = Vec::new();
    for (index, scope) in spec.scopes.iter().flatten().enumerate() {
        found.extend(scope_named(cx, scope, true, Vec::new(), &scopes_at.index(index)));
    }
    let selector_at = at.key("scopeSelector");
    let expressions_at = selector_at.key("matchExpressions");
    let expressions = spec.scope_selector.as_ref().and_then(|selector| selector.match_expressions.as_ref());
    for (index, expression) in expressions.into_iter().flatten().enumerate() {
        let here = expressions_at.index(index);
        let operators = &[("In", true), ("NotIn", false), ("Exists", true), ("DoesNotExist", false)];
        let Some(holds) = cx.word(&expression.operator, operators, &here.key("operator")) else { continue };
        let values = expression.values.iter().flatten().map(|value| Str::from(value.as_str())).collect();
        found.extend(scope_named(cx, &expression.scope_name, holds, values, &here.key("scopeName")));
    }
    found
}

fn scope_named(cx: &mut Cx<'_>, name: &str, holds: bool, values: Vec<Str>, at: &Step<'_>) -> Option<QuotaScope> {
    const NAMES: &[(&str, &str)] = &[
        ("Terminating", "Terminating"),
        ("NotTerminating", "NotTerminating"),
        ("BestEffort", "BestEffort"),
        ("NotBestEffort", "NotBestEffort"),
        ("PriorityClass", "PriorityClass"),
    ];
    Some(match cx.word(name, NAMES, at)? {
        "Terminating" => QuotaScope::Terminating(holds),
        "NotTerminating" => QuotaScope::Terminating(!holds),
        "BestEffort" => QuotaScope::BestEffort(holds),
        "NotBestEffort" => QuotaScope::BestEffort(!holds),
        _ if values.is_empty() => QuotaScope::AnyPriorityClass(holds),
        _ => QuotaScope::PriorityClass(values, holds),
    })
}

/// A LimitRange, with the defaults that the API server fills in.
/// Upstream: pkg/apis/core/v1/defaults.go, SetDefaults_LimitRangeItem.
pub(crate) fn limit_range(cx: &mut Cx<'_>, from: &core::LimitRange) -> LimitRange {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let spec_at = root.key("spec");
    let limits_at = spec_at.key("limits");
    let items = from.spec.iter().flat_map(|spec| &spec.limits).enumerate();
    let limits = items.filter_map(|(index, item)| limit_item(cx, item, &limits_at.index(index))).collect();
    LimitRange { meta, limits }
}

fn limit_item(cx: &mut Cx<'_>, from: &core::LimitRangeItem, at: &Step<'_>) -> Option<LimitRangeItem> {
    const KINDS: &[(&str, LimitType)] =
        &[("Pod", LimitType::Pod), ("Container", LimitType::Container), ("PersistentVolumeClaim", LimitType::PersistentVolumeClaim)];
    let kind = cx.word(&from.type_, KINDS, &at.key("type"))?;
    let mut list = |from: &Option<BTreeMap<String, RawQuantity>>, name: &'static str| -> ResourceList {
        cx.resources(from.iter().flatten(), &at.key(name))
    };
    let (min, max) = (list(&from.min, "min"), list(&from.max, "max"));
    let (mut default, mut default_request) = (list(&from.default, "default"), list(&from.default_request, "defaultRequest"));
    if kind == LimitType::Container {
        let fill = |into: &mut ResourceList, from: &ResourceList| {
            for (name, amount) in from {
                into.entry(name.clone()).or_insert(*amount);
            }
        };
        fill(&mut default, &max);
        fill(&mut default_request, &default);
        fill(&mut default_request, &min);
    }
    let ratio_at = at.key("maxLimitRequestRatio");
    let mut max_ratio_millis = BTreeMap::new();
    for (name, raw) in from.max_limit_request_ratio.iter().flatten() {
        if let Some(quantity) = cx.quantity(raw, &ratio_at.key(name)) {
            max_ratio_millis.insert(ResourceName::new(name), quantity.milli_value());
        }
    }
    Some(LimitRangeItem { kind, min, max, default, default_request, max_ratio_millis })
}
