//! The shipped scenarios, built into the program.

/// A shipped scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its text, as in `scenarios/library/<name>.yaml`.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../library/", $name, ".yaml")) }),*]
    };
}

const LIBRARY: &[Shipped] = shipped![
    "black-friday-40x",
    "black-friday-40x-no-autoscaling",
    "black-friday-200-nodes",
    "node-failure-2am",
    "crash-at-2am",
    "rolling-update",
    "broken-release",
    "llm-inference-burst",
];

/// All of them, in the order they are listed.
#[must_use]
pub const fn all() -> &'static [Shipped] {
    LIBRARY
}

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|shipped| shipped.name)
}

/// The text of the one called `name`.
#[must_use]
pub fn get(name: &str) -> Option<&'static str> {
    LIBRARY.iter().find(|shipped| shipped.name == name).map(|shipped| shipped.text)
}
