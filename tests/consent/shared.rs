//! Envoys that share an etcd: one renews the grant that another needs, or cannot say that it has. And many users whose tokens end at once.

use super::land::{Land, link};
use super::{ALLOWED, agree};
use secrecy::ExposeSecret;
use serde_json::json;

/// Ann has agreed, and her token has expired.
fn expired() -> Land {
    let mut land = Land::on_etcd();
    let own = link(&land.send("ann", &json!({})).task());
    assert_eq!(agree(&mut land, "ann", &own), ALLOWED);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    land.pass(301);
    land
}

fn renewals(land: &Land) -> usize {
    land.asked().iter().filter(|form| form.contains("grant_type=refresh_token")).count()
}

#[test]
fn who_needs_what_another_renews_waits_for_it() {
    let mut land = expired();
    let until = land.in_seconds(30);
    land.etcd().edit(move |grant| grant.lease = Some((7, until)));
    let good = land.in_seconds(600);
    land.etcd().then = Some((
        5,
        Box::new(move |grant| {
            (grant.access, grant.until, grant.lease) = ("access-of-another".to_owned().into(), good, None);
            grant.refresh = Some("refresh-of-another".to_owned().into());
        }),
    ));
    let before = land.etcd().reads;
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-of-another");
    assert_eq!((renewals(&land), land.etcd().reads - before), (0, 6), "it looks until it is there");
}

#[test]
fn who_renews_and_is_gone_is_waited_for_until_its_lease_ends() {
    let mut land = expired();
    let until = land.in_seconds(30);
    land.etcd().edit(move |grant| grant.lease = Some((7, until)));
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-2");
    assert!(land.in_seconds(0) >= until && renewals(&land) == 1);
    // A lease that is longer than any is no lease.
    land.pass(301);
    let until = land.in_seconds(3000);
    land.etcd().edit(move |grant| grant.lease = Some((7, until)));
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-3");
    assert!(land.in_seconds(0) < until);
}

#[test]
fn new_tokens_that_the_store_did_not_take_are_written_when_it_is_back() {
    let mut land = expired();
    land.lie("etcd");
    for _ in 0..3 {
        assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-2", "they are good at once");
        land.pass(5);
    }
    assert!(land.etcd().grant().0.access.expose_secret() == "access-ann-1" && renewals(&land) == 1);
    // Nobody else takes the old refresh token meanwhile, for a minute.
    let lease = land.etcd().grant().0.lease.unwrap().1;
    assert!(lease >= land.in_seconds(40) && lease <= land.in_seconds(70));
    land.tell_the_truth();
    land.etcd().is_away = false;
    land.idle(20);
    assert_eq!(land.etcd().grant().0.access.expose_secret(), "access-ann-2");
    assert!(land.etcd().grant().0.lease.is_none());
}

#[test]
fn new_tokens_replace_what_somebody_has_leased_since() {
    let mut land = expired();
    land.lie("etcd");
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-2");
    land.tell_the_truth();
    let until = land.in_seconds(60);
    land.etcd().edit(move |grant| grant.lease = Some((9, until)));
    land.etcd().is_away = false;
    land.idle(20);
    let (grant, _) = land.etcd().grant();
    assert_eq!((grant.access.expose_secret(), grant.lease.is_none()), ("access-ann-2", true));
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-2");
    // What others have made of another refresh token counts.
    land.pass(301);
    land.lie("etcd");
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-3");
    land.tell_the_truth();
    let good = land.in_seconds(600);
    land.etcd().edit(move |grant| {
        (grant.access, grant.until, grant.lease) = ("access-of-another".to_owned().into(), good, None);
        grant.refresh = Some("refresh-of-another".to_owned().into());
    });
    land.etcd().is_away = false;
    land.idle(20);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-of-another");
    assert_eq!(renewals(&land), 2);
}

#[test]
fn a_server_is_asked_for_few_renewals_at_a_time_and_all_are_served() {
    let mut land = Land::new(&json!({}));
    let users: Vec<String> = (0..24).map(|number| format!("u{number}")).collect();
    for user in &users {
        let own = link(&land.send(user, &json!({})).task());
        assert_eq!(agree(&mut land, user, &own), ALLOWED);
    }
    land.pass(301);
    assert_eq!((land.storm(&users), renewals(&land)), (16, 24));
    for user in &users {
        assert_eq!(land.send(user, &json!({})).bearer(), format!("access-{user}-2"));
    }
    assert_eq!(renewals(&land), 24);
    // A server that is down keeps nobody's place.
    land.pass(301);
    land.lie("down");
    assert_eq!(land.storm(&users), 16);
    land.tell_the_truth();
    land.pass(10);
    assert_eq!(land.storm(&users), 16);
    for user in &users {
        assert_eq!(land.send(user, &json!({})).bearer(), format!("access-{user}-3"));
    }
}
