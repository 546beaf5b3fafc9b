//! A map of any number of entries, in sorted pages. What a `BTreeMap` is good for, in a fifth of its code, which each pair of types
//! brings anew: adding or removing an entry moves what is on its page, and now and then the list of pages. No choice of keys
//! makes it slow.

use std::borrow::Borrow;
use std::{fmt, slice};

/// A page is cut in two when it has so many entries.
const FULL: usize = 64;

/// Values by key, in the order of the keys.
pub struct PagedMap<K, V> {
    /// None is empty.
    pages: Vec<Vec<(K, V)>>,
    len: usize,
}

/// The entries of a map.
pub struct Entries<'a, K, V> {
    pages: slice::Iter<'a, Vec<(K, V)>>,
    page: slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iterator for Entries<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.page.next() {
                return Some((key, value));
            }
            self.page = self.pages.next()?.iter();
        }
    }
}

impl<K, V> PagedMap<K, V> {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries.
    pub fn iter(&self) -> Entries<'_, K, V> {
        Entries { pages: self.pages.iter(), page: [].iter() }
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entry with the highest key.
    #[must_use]
    pub fn last(&self) -> Option<(&K, &V)> {
        let (key, value) = self.pages.last()?.last()?;
        Some((key, value))
    }

    /// Takes out the entry with the lowest key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| self.take(0, 0))?
    }

    /// Leaves only entries that `keeps` picks.
    pub fn retain(&mut self, keeps: impl Fn(&K, &V) -> bool) {
        self.len = 0;
        self.pages.retain_mut(|page| {
            page.retain(|(key, value)| keeps(key, value));
            self.len = self.len.saturating_add(page.len());
            !page.is_empty()
        });
    }

    /// Takes out the entry at `place` of a page.
    fn take(&mut self, page: usize, place: usize) -> Option<(K, V)> {
        let list = self.pages.get_mut(page)?;
        let entry = list.remove(place);
        self.len = self.len.saturating_sub(1);
        if list.is_empty() {
            self.pages.remove(page);
        }
        self.join(page);
        self.join(page.saturating_sub(1));
        Some(entry)
    }

    /// Makes one of this page and the next if that is far from full: whoever removes entries leaves no pages of one each.
    fn join(&mut self, page: usize) {
        if let Some([one, other, ..]) = self.pages.get_mut(page..)
            && one.len().saturating_add(other.len()) <= FULL / 2
        {
            one.append(other);
            self.pages.remove(page.saturating_add(1));
        }
    }
}

impl<K: Ord, V> PagedMap<K, V> {
    /// The page on which `key` is or belongs, and its place there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let starts_before = |page: &Vec<(K, V)>| page.first().is_some_and(|(own, _)| own.borrow() <= key);
        let page = self.pages.partition_point(starts_before).saturating_sub(1);
        let place = self.pages.get(page).map_or(Err(0), |page| page.binary_search_by(|(own, _)| own.borrow().cmp(key)));
        (page, place)
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (page, Ok(place)) = self.find(key) else { return None };
        let (_, value) = self.pages.get(page)?.get(place)?;
        Some(value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (page, Ok(place)) = self.find(key) else { return None };
        let (_, value) = self.pages.get_mut(page)?.get_mut(place)?;
        Some(value)
    }

    /// Whether `key` is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).1.is_ok()
    }

    /// Sets the value of `key`. The result is the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (page, place) = self.find(&key);
        let Some(list) = self.pages.get_mut(page) else {
            self.pages.push(vec![(key, value)]);
            self.len = 1;
            return None;
        };
        match place {
            Ok(place) => list.get_mut(place).map(|(_, old)| std::mem::replace(old, value)),
            Err(place) => {
                list.insert(place, (key, value));
                self.len = self.len.saturating_add(1);
                if list.len() >= FULL {
                    let rest = list.split_off(FULL / 2);
                    self.pages.insert(page.saturating_add(1), rest);
                }
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
        let (page, Ok(place)) = self.find(key) else { return None };
        self.take(page, place).map(|(_, value)| value)
    }
}

impl<K, V> Default for PagedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PagedMap<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord, V> Extend<(K, V)> for PagedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K, V> IntoIterator for PagedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pages.into_iter().flatten()
    }
}

impl<'a, K, V> IntoIterator for &'a PagedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Entries<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL, PagedMap};
    use std::collections::BTreeMap;

    /// The same is done to both, so that the map grows to some hundreds of entries and shrinks to none, again and again.
    #[test]
    fn it_is_the_map_of_the_standard_library() {
        let (mut map, mut other) = (PagedMap::<u32, u32>::new(), BTreeMap::new());
        let mut state = 7_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for round in 0..40_000_u32 {
            let (key, grows) = (random(1500), (round / 4000).is_multiple_of(2));
            match random(16) {
                0 => assert_eq!(map.pop_first(), other.pop_first()),
                1 => {
                    map.change(key, |value| *value += 1);
                    *other.entry(key).or_default() += 1;
                }
                2 if random(50) == 0 => {
                    map.retain(|key, _| key % 3 > 0);
                    other.retain(|key, _| key % 3 > 0);
                }
                2..=5 => assert_eq!(map.remove(&key), other.remove(&key)),
                _ if grows => assert_eq!(map.insert(key, round), other.insert(key, round)),
                // Those that come one after the other, too.
                _ => assert_eq!(map.remove(&(round % 1500)), other.remove(&(round % 1500))),
            }
            assert_eq!((map.len(), map.is_empty(), map.last()), (other.len(), other.is_empty(), other.last_key_value()));
            assert_eq!((map.get(&key), map.contains_key(&key)), (other.get(&key), other.contains_key(&key)));
            assert_eq!(map.get_mut(&key), other.get_mut(&key));
            assert!(round % 64 > 0 || map.iter().eq(&other) && map.keys().eq(other.keys()) && map.values().eq(other.values()));
            assert!(map.pages.iter().all(|page| (1..FULL).contains(&page.len())));
        }
        assert_eq!(format!("{map:?}"), format!("{other:?}"));
        assert!(map.into_iter().eq(other));
    }

    #[test]
    fn no_pages_of_one_entry_each_are_left() {
        let mut map = PagedMap::new();
        map.extend((0..10_000).map(|key| (key, ())));
        (0..10_000).filter(|key| key % 32 > 0).for_each(|key| assert!(map.remove(&key).is_some()));
        assert!(map.len() == 313 && map.pages.len() <= 2 * 313_usize.div_ceil(FULL / 2), "{}", map.pages.len());
    }
}
