//! The mesh tests: every promise of the filter, kept by a real Envoy between real callers and agents.

mod at_hand;
mod attacks;
mod cards;
mod configuration;
mod credentials;
mod credentials_faults;
mod credentials_places;
mod from_card;
mod grpc;
mod grpc_messages;
mod hold;
mod http1;
mod http2;
mod identity;
mod istio;
mod jwks;
mod keys;
mod live_update;
mod odd_framing;
mod odd_requests;
mod outbound;
mod ownership;
mod policy;
mod projected;
mod published;
mod ratelimit;
mod record;
mod reload;
mod remote_cards;
mod requests;
mod schemes;
mod sdk;
mod skills;
mod streams;
mod suite;
mod tokens;
mod tour;
mod vectors;
mod watching;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut suite = suite::Suite::default();
    // What takes a minute starts first.
    keys::add(&mut suite);
    streams::add(&mut suite);
    credentials_faults::add_slow(&mut suite);
    sdk::add(&mut suite);
    tour::add(&mut suite);
    jwks::add(&mut suite);
    reload::add(&mut suite);
    configuration::add(&mut suite);
    live_update::add(&mut suite);
    hold::add(&mut suite);
    attacks::add(&mut suite);
    tokens::add(&mut suite);
    requests::add(&mut suite);
    identity::add(&mut suite);
    policy::add(&mut suite);
    schemes::add(&mut suite);
    record::add(&mut suite);
    watching::add(&mut suite);
    istio::add(&mut suite);
    cards::add(&mut suite);
    projected::add(&mut suite);
    ownership::add(&mut suite);
    at_hand::add(&mut suite);
    published::add(&mut suite);
    from_card::add(&mut suite);
    skills::add(&mut suite);
    http1::add(&mut suite);
    http2::add(&mut suite);
    grpc::add(&mut suite);
    grpc_messages::add(&mut suite);
    odd_requests::add(&mut suite);
    odd_framing::add(&mut suite);
    outbound::add(&mut suite);
    credentials::add(&mut suite);
    credentials_faults::add(&mut suite);
    credentials_places::add(&mut suite);
    remote_cards::add(&mut suite);
    ratelimit::add(&mut suite);
    vectors::add(&mut suite);
    suite.run()
}
