//! The mark of an owner, which the metadata of each of its messages carries to the agent: an agent that keeps it shows with it
//! whose a task is. Its text is the name of the key, `.`, and half of HMAC-SHA256 (RFC 2104, 128 bits) in base64url over the
//! owner and the A2A tenant. All messages of one owner in one tenant have the same, whatever the task: who may write into a task
//! at all is told by the tag of its id, so that a caller's mark never gets into another caller's task.

use super::tag::{CODE_BYTES, Tagger};
use crate::wire::base64url;
use hmac::Mac;

/// So that no tag, and nothing else that these keys sign, is taken for a mark.
const PURPOSE: &[u8] = b"attache task mark 1";

impl Tagger {
    /// The owner's mark in the request's tenant. A request that has not named one cannot name one any more.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        let (name, key) = self.keys.first()?;
        let code = self.scoped(key, PURPOSE, self.assumed()).finalize().into_bytes();
        Some(format!("{name}.{}", base64url::encode(code.get(..CODE_BYTES)?)))
    }

    /// Whether `text` is the owner's mark in the request's tenant, made with any of the keys.
    #[must_use]
    pub fn is_mark(&self, text: &str) -> bool {
        let read = || {
            let (name, code) = text.split_once('.')?;
            let code = base64url::decode(code).filter(|code| code.len() == CODE_BYTES)?;
            // In constant time.
            self.scoped(self.keys.named(name)?, PURPOSE, self.settled()?).verify_truncated_left(&code).ok()
        };
        read().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tag::tests::{ANN, NEW, OLD, keys, tagger_in};
    use super::super::tag::{Owner, Tagger, Tenant};
    use super::super::tag::{Subject, tests::shown};

    #[test]
    fn a_mark_is_of_one_owner_in_one_tenant() {
        for (tenant, other) in [("", "acme"), ("acme", ""), ("acme", "bolt")] {
            let mark = tagger_in("ann", Some(tenant)).mark().unwrap();
            assert!(tagger_in("ann", Some(tenant)).is_mark(&mark), "{mark}");
            for who in [tagger_in("ann", Some(other)), tagger_in("bob", Some(tenant)), tagger_in("ann", None)] {
                assert!(!who.is_mark(&mark), "{mark}");
            }
        }
        let late = tagger_in("ann", None);
        assert_eq!(late.mark(), tagger_in("ann", Some("")).mark());
        assert!(!late.settle(Tenant::named("acme")) && late.settle(Tenant::NONE));
        let late = tagger_in("ann", None);
        assert!(late.names(Tenant::named("acme")));
        assert_eq!(late.mark(), tagger_in("ann", Some("acme")).mark());
        assert!(late.settle(Tenant::named("acme")));
        let ann = tagger_in("ann", Some(""));
        let mark = ann.mark().unwrap();
        let tag = shown(&ann, Subject::Task, "t");
        for other in ["", ".", "k1.", &mark[..mark.len() - 1], &format!("{mark}A"), &format!("{mark}="), &mark.replace("k1.", "k2.")] {
            assert!(!ann.is_mark(other), "{other}");
        }
        assert!(!ann.is_mark(tag.split_once('~').unwrap().1) && !ann.is_mark(&tag));
    }

    #[test]
    fn marks_of_all_keys_count() {
        let owner = Owner::of("expense", &ANN).unwrap();
        let with = |list: &[(&str, &str)]| {
            let tagger = Tagger::new(keys(list), owner);
            assert!(tagger.settle(Tenant::NONE));
            tagger
        };
        let (before, during, after) = (with(&[OLD]), with(&[NEW, OLD]), with(&[NEW]));
        let (first, second) = (before.mark().unwrap(), during.mark().unwrap());
        assert!(first.starts_with("a.") && second.starts_with("b."));
        assert!(during.is_mark(&first) && during.is_mark(&second) && after.is_mark(&second));
        assert!(!after.is_mark(&first) && !before.is_mark(&second));
        assert!(!with(&[("a", NEW.1)]).is_mark(&first));
    }
}
