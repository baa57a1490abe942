//! The service graph: who calls whom, and that nobody calls himself through others.
//!
//! A cycle of calls holds slots on both ends and can lock for ever; it is refused before the run.

use std::collections::BTreeMap;
use std::fmt;

use api::Str;
use petgraph::graph::{DiGraph, NodeIndex};

/// Services that call each other in a circle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallCycle {
    /// The circle, its first service again at the end.
    pub path: Vec<Str>,
}

impl fmt::Display for CallCycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "services call each other in a circle: {}; take one of these calls out", self.path.join(" → "))
    }
}

impl std::error::Error for CallCycle {}

/// Callers before callees, in an order that depends only on names. Pairs are (caller, callee).
///
/// # Errors
/// When calls go in a circle; the shortest circle through the first service by name that is in one.
pub fn check(calls: &[(Str, Str)]) -> Result<Vec<Str>, CallCycle> {
    let mut edges: Vec<_> = calls.to_vec();
    edges.sort();
    edges.dedup();
    let mut names: Vec<_> = edges.iter().flat_map(|(caller, callee)| [caller.clone(), callee.clone()]).collect();
    names.sort();
    names.dedup();
    let mut graph = DiGraph::<Str, ()>::with_capacity(names.len(), edges.len());
    let index: BTreeMap<Str, NodeIndex> = names.into_iter().map(|name| (name.clone(), graph.add_node(name))).collect();
    for (caller, callee) in &edges {
        graph.add_edge(index[caller], index[callee], ());
    }
    match petgraph::algo::toposort(&graph, None) {
        Ok(order) => Ok(order.into_iter().map(|node| graph[node].clone()).collect()),
        Err(_) => Err(first_cycle(&graph)),
    }
}

fn first_cycle(graph: &DiGraph<Str, ()>) -> CallCycle {
    let cycle = graph.node_indices().find_map(|start| shortest_way_back(graph, start)).unwrap_or_default();
    CallCycle { path: cycle.into_iter().map(|node| graph[node].clone()).collect() }
}

/// Breadth-first from `start` until an edge leads back to it.
fn shortest_way_back(graph: &DiGraph<Str, ()>, start: NodeIndex) -> Option<Vec<NodeIndex>> {
    let mut came_from: Vec<Option<NodeIndex>> = vec![None; graph.node_count()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        let mut next: Vec<_> = graph.neighbors(at).collect();
        next.sort();
        for node in next {
            if node == start {
                let mut path = vec![start, at];
                while let Some(before) = came_from[path[path.len() - 1].index()] {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if came_from[node.index()].is_none() {
                came_from[node.index()] = Some(at);
                queue.push_back(node);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(pairs: &[(&str, &str)]) -> Vec<(Str, Str)> {
        pairs.iter().map(|(caller, callee)| ((*caller).into(), (*callee).into())).collect()
    }

    #[test]
    fn callers_come_before_callees() {
        let order = check(&calls(&[("cart", "db"), ("web", "cart"), ("web", "search"), ("search", "db")])).unwrap();
        let place = |name: &str| order.iter().position(|other| &**other == name).unwrap();
        assert!(place("web") < place("cart") && place("cart") < place("db") && place("search") < place("db"));
    }

    #[test]
    fn a_circle_is_named_with_everyone_in_it() {
        let circle = check(&calls(&[("web", "cart"), ("cart", "stock"), ("stock", "price"), ("price", "cart")])).unwrap_err();
        assert_eq!(circle.to_string(), "services call each other in a circle: cart → stock → price → cart; take one of these calls out");
        let own = check(&calls(&[("web", "web")])).unwrap_err();
        assert_eq!(own.path.len(), 2);
    }
}
