//! Numbered places that are used again: no allocation per request once the run has warmed up.
//!
//! A place keeps its last content until it is taken again; the content itself says whether it is alive.

use std::ops::{Index, IndexMut};

/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// Places for `T`, numbered from zero.
pub(super) struct Slab<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts `content` into a free place, the one freed last if there is one.
    pub(super) fn insert(&mut self, content: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = content;
            return number;
        }
        self.places.push(content);
        (self.places.len() - 1) as u32
    }
    /// Gives a place back.
    pub(super) fn free(&mut self, number: u32) {
        self.free.push(number);
    }
    /// All places, alive or not.
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        0..self.places.len() as u32
    }
    /// Places in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, number: u32) -> &T {
        &self.places[number as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.places[number as usize]
    }
}
