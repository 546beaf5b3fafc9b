//! Maps and sets of few entries, in one sorted list. A `BTreeMap` brings code of its own for each pair of types, four times as
//! much as this, and pays for it with thousands of entries only: an entry added here moves all that come after it. What a
//! caller can make many of belongs in a [`PagedMap`](super::paged::PagedMap).

use serde::{Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::iter::Map as Mapped;
use std::slice;

/// Values by key, in the order of the keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

/// Keys in their order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedSet<K>(SortedMap<K, ()>);

/// The entries of a map.
pub type Entries<'a, K, V> = Mapped<slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;
/// The same, with values that can be changed.
pub type EntriesMut<'a, K, V> = Mapped<slice::IterMut<'a, (K, V)>, fn(&'a mut (K, V)) -> (&'a K, &'a mut V)>;
/// The keys of a set.
pub type Keys<'a, K> = Mapped<slice::Iter<'a, (K, ())>, fn(&'a (K, ())) -> &'a K>;
/// The keys of a set that is no more.
pub type IntoKeys<K> = Mapped<std::vec::IntoIter<(K, ())>, fn((K, ())) -> K>;

impl<K, V> SortedMap<K, V> {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries.
    pub fn iter(&self) -> Entries<'_, K, V> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The entries, with values that can be changed.
    pub fn iter_mut(&mut self) -> EntriesMut<'_, K, V> {
        self.0.iter_mut().map(|(key, value)| (key, value))
    }

    /// The keys.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(own, _)| own.borrow().cmp(key))
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, value) = self.0.get(self.find(key).ok()?)?;
        Some(value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        let (_, value) = self.0.get_mut(place)?;
        Some(value)
    }

    /// Whether `key` is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Sets the value of `key`. The result is the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => self.0.get_mut(place).map(|(_, old)| std::mem::replace(old, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    /// Does something to the value of `key`, which is made if it is not there.
    pub fn change(&mut self, key: K, change: impl FnOnce(&mut V))
    where
        V: Default,
    {
        let mut value = self.remove(&key).unwrap_or_default();
        change(&mut value);
        self.insert(key, value);
    }

    /// Takes `key` out, with its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        Some(self.0.remove(place).1)
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    /// Of entries with the same key, the last counts. Entries in order are only put at the end.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Entries<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut SortedMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = EntriesMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<K: Serialize, V: Serialize> Serialize for SortedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<K> SortedSet<K> {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(SortedMap::new())
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> Keys<'_, K> {
        self.0.0.iter().map(|(key, ())| key)
    }
}

impl<K: Ord> SortedSet<K> {
    /// Whether `key` is there.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// Adds `key`. `false`: it was there.
    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }

    /// Takes `key` out. `false`: it was not there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).is_some()
    }
}

impl<K> Default for SortedSet<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug> fmt::Debug for SortedSet<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

impl<K: Ord> FromIterator<K> for SortedSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key, ())).collect())
    }
}

impl<K: Ord, const N: usize> From<[K; N]> for SortedSet<K> {
    fn from(keys: [K; N]) -> Self {
        keys.into_iter().collect()
    }
}

impl<K: Ord> Extend<K> for SortedSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        for key in keys {
            self.insert(key);
        }
    }
}

impl<K> IntoIterator for SortedSet<K> {
    type Item = K;
    type IntoIter = IntoKeys<K>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.0.into_iter().map(|(key, ())| key)
    }
}

impl<'a, K> IntoIterator for &'a SortedSet<K> {
    type Item = &'a K;
    type IntoIter = Keys<'a, K>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{SortedMap, SortedSet};
    use std::collections::{BTreeMap, BTreeSet};

    /// Numbers without a pattern that matters here.
    fn numbers(count: usize) -> impl Iterator<Item = u32> {
        (0..count).scan(7_u32, |state, _| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(*state >> 24)
        })
    }

    #[test]
    fn it_is_the_map_of_the_standard_library() {
        let (mut map, mut other) = (SortedMap::new(), BTreeMap::new());
        for (index, number) in numbers(2000).enumerate() {
            let key = (number % 64).to_string();
            if number & 128 == 0 {
                assert_eq!(map.insert(key.clone(), index), other.insert(key.clone(), index));
            } else {
                assert_eq!(map.remove(key.as_str()), other.remove(key.as_str()));
            }
            assert!(map.iter().eq(&other) && map.keys().eq(other.keys()) && map.values().eq(other.values()));
            let key = (number % 63).to_string();
            assert_eq!((map.get(&key), map.contains_key(&key)), (other.get(&key), other.contains_key(&key)));
            assert_eq!(map.get_mut(&key), other.get_mut(&key));
            assert_eq!((map.len(), map.is_empty()), (other.len(), other.is_empty()));
        }
    }

    #[test]
    fn a_list_becomes_a_map_in_which_the_last_of_a_key_counts() {
        for count in [0, 1, 2, 3, 100, 1000] {
            let entries: Vec<(u32, usize)> = numbers(count).zip(0..).collect();
            let (map, other): (SortedMap<_, _>, BTreeMap<_, _>) = (entries.iter().copied().collect(), entries.into_iter().collect());
            assert!(map.iter().eq(&other));
            assert_eq!(format!("{map:?}"), format!("{other:?}"));
            assert_eq!(serde_json::to_string(&map).unwrap(), serde_json::to_string(&other).unwrap());
        }
    }

    #[test]
    fn it_is_the_set_of_the_standard_library() {
        let (mut set, mut other) = (SortedSet::new(), BTreeSet::new());
        for number in numbers(2000) {
            let key = number % 64;
            if number & 128 == 0 {
                assert_eq!(set.insert(key), other.insert(key));
            } else {
                assert_eq!(set.remove(&key), other.remove(&key));
            }
            assert!(set.iter().eq(&other) && set.len() == other.len() && set.contains(&7) == other.contains(&7));
        }
        assert_eq!(format!("{set:?}"), format!("{other:?}"));
    }
}
