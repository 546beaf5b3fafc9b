//! Credentials that are absent, bad, or good for something else: each has one answer, in the caller's binding.

use anyhow::{Result, ensure};
use attache_mesh::authorization::header;
use attache_mesh::http::Call;
use attache_mesh::mesh::{Mesh, get_task_1_0_http, send_1_0};
use attache_mesh::mint::{self, Mint};
use attache_mesh::place::now;
use attache_mesh::raw;
use attache_mesh::refusal::Form;
use attache_mesh::{mesh, refusal};
use serde_json::{Value, json};

use crate::suite::{HOUSE, House, Suite, refused, works};

type Forge = fn(&House) -> Result<String>;

fn with(house: &House, name: &str, value: Value) -> String {
    let mut claims = house.claims();
    claims[name] = value;
    house.mint.sign(&claims)
}

fn without(house: &House, name: &str) -> String {
    let mut claims = house.claims();
    if let Some(map) = claims.as_object_mut() {
        map.remove(name);
    }
    house.mint.sign(&claims)
}

fn headed(house: &House, name: &str, value: Value) -> String {
    let mut header = house.mint.header();
    header[name] = value;
    house.mint.sign_as(&header, &house.claims())
}

/// Tokens made for the house issuer, and why each is refused.
const FORGED: &[(&str, &str, Forge)] = &[
    ("expired", "token_expired", |house| Ok(with(house, "exp", json!(now() - 1)))),
    ("not_before_later", "token_not_yet_valid", |house| Ok(with(house, "nbf", json!(now() + 60)))),
    ("issued_later", "token_not_yet_valid", |house| Ok(with(house, "iat", json!(now() + 60)))),
    ("other_audience", "token_audience_mismatch", |house| Ok(with(house, "aud", json!("https://other.example.com")))),
    ("audience_with_slash", "token_audience_mismatch", |house| Ok(with(house, "aud", json!(format!("{}/", house.audience))))),
    ("other_audiences", "token_audience_mismatch", |house| Ok(with(house, "aud", json!(["a", "b"])))),
    ("no_audience", "token_malformed", |house| Ok(without(house, "aud"))),
    ("other_issuer", "token_issuer_unknown", |house| Ok(with(house, "iss", json!("https://elsewhere.example")))),
    ("issuer_with_slash", "token_issuer_unknown", |house| Ok(with(house, "iss", json!(format!("{HOUSE}/"))))),
    ("no_issuer", "token_issuer_unknown", |house| Ok(without(house, "iss"))),
    ("lives_too_long", "token_lifetime_too_long", |house| Ok(with(house, "exp", json!(now() + 7200)))),
    ("no_issue_time", "token_lifetime_too_long", |house| Ok(without(house, "iat"))),
    ("no_expiry", "token_malformed", |house| Ok(without(house, "exp"))),
    ("expiry_as_text", "token_malformed", |house| Ok(with(house, "exp", json!("tomorrow")))),
    ("id_token_type", "token_type_refused", |house| Ok(headed(house, "typ", json!("id+jwt")))),
    ("unknown_key_name", "token_key_unknown", |house| Ok(headed(house, "kid", json!("house-9")))),
    ("critical_extension", "token_malformed", |house| Ok(headed(house, "crit", json!(["exp"])))),
    ("algorithm_not_allowed", "token_algorithm_refused", |house| Ok(headed(house, "alg", json!("ES384")))),
    ("algorithm_of_another_key_type", "token_key_unknown", |house| Ok(headed(house, "alg", json!("PS256")))),
    ("algorithm_none", "token_algorithm_refused", |house| Ok(mint::unsigned(&json!({"alg": "none", "typ": "at+jwt"}), &house.claims()))),
    ("public_key_as_hmac_secret", "token_algorithm_refused", |house| {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": house.mint.kid});
        mint::hs256(house.mint.jwk().to_string().as_bytes(), &header, &house.claims())
    }),
    ("signed_by_another_key", "token_signature_invalid", |house| Ok(Mint::new("stranger")?.sign_as(&house.mint.header(), &house.claims()))),
    ("one_bit_of_the_signature", "token_signature_invalid", |house| mint::broken_signature(&house.token())),
    ("no_signature", "token_signature_invalid", |house| Ok(mint::unsigned(&house.mint.header(), &house.claims()))),
    ("claims_changed", "token_signature_invalid", |house| {
        let (good, other) = (house.token(), with(house, "sub", json!("mallory")));
        let (header, signature) = (good.split('.').next(), good.rsplit('.').next());
        Ok(format!("{}.{}.{}", header.unwrap_or(""), other.split('.').nth(1).unwrap_or(""), signature.unwrap_or("")))
    }),
    ("with_five_actors", "token_actor_refused", |house| {
        let chain = (0..4).fold(json!({"sub": "a"}), |chain, _| json!({"sub": "b", "act": chain}));
        Ok(with(house, "act", chain))
    }),
    ("two_parts", "token_malformed", |house| Ok(house.token().rsplit_once('.').map(|two| two.0.to_owned()).unwrap_or_default())),
    ("not_a_jwt", "token_malformed", |_| Ok("abc".to_owned())),
    ("not_base64", "token_malformed", |_| Ok("a+b.c/d.e=f".to_owned())),
    ("of_100_kilobytes", "token_too_large", |_| Ok("forged-".repeat(14_000))),
    ("padded_to_20_kilobytes", "token_too_large", |house| Ok(with(house, "padding", json!("x".repeat(20_000))))),
];

/// The token is refused over JSON-RPC and over HTTP+JSON, and no part of it comes back.
async fn forged(mesh: &Mesh, reason: &str, forge: Forge) -> Result<()> {
    let house = House::standing(mesh).await?;
    let (token, good) = (forge(house)?, house.token());
    let calls = [(send_1_0("id-7"), Form::Rpc(json!("id-7"))), (get_task_1_0_http("t"), Form::Status)];
    for (call, form) in calls {
        let reply = refused(&house.envoy, &call.bearer(&token), reason, &form, &good).await?;
        let seen = format!("{:?}{}", reply.headers, reply.text());
        for part in token.split('.').filter(|part| part.len() > 8) {
            ensure!(!seen.contains(part), "the refusal repeats the token: {seen}");
        }
        if reply.status == 401 {
            ensure!(seen.contains("error=\\\"invalid_token\\\"") || seen.contains("invalid_request"), "challenge: {seen}");
        }
    }
    Ok(())
}

/// Whole `Authorization` headers, one or more, and why they are refused.
const CREDENTIALS: &[(&str, &str, &[&[u8]])] = &[
    ("none", "credentials_missing", &[]),
    ("of_another_scheme", "credentials_missing", &[b"Basic YTpi"]),
    ("three_headers", "credentials_repeated", &[b"Bearer a.b.c", b"Bearer a.b.c", b"Basic YTpi"]),
    ("two_in_one_header", "credentials_repeated", &[b"Bearer a.b.c, Bearer a.b.c"]),
    ("bearer_alone", "token_malformed", &[b"Bearer"]),
    ("bearer_and_a_space", "token_malformed", &[b"Bearer "]),
    ("invalid_utf8", "token_malformed", &[b"Bearer \xff\xfe"]),
    ("only_invalid_utf8", "token_malformed", &[b"\xff"]),
];

async fn credentials(mesh: &Mesh, reason: &str, lines: &[&[u8]]) -> Result<()> {
    let good = mesh.token().await?;
    let calls = [(send_1_0("id-8"), Form::Rpc(json!("id-8"))), (get_task_1_0_http("t"), Form::Status)];
    for (mut call, form) in calls {
        for line in lines {
            call = call.header("authorization", line);
        }
        refused(&mesh.inbound, &call, reason, &form, &good).await?;
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for (name, reason, forge) in FORGED {
        suite.add(format!("tokens::{name}_is_{reason}"), async move |mesh| forged(mesh, reason, *forge).await);
    }
    for (name, reason, lines) in CREDENTIALS {
        suite.add(format!("tokens::credentials_{name}_is_{reason}"), async move |mesh| credentials(mesh, reason, lines).await);
    }
    suite.add("tokens::good_ones_are_accepted_in_every_allowed_form", async |mesh| {
        let house = House::standing(mesh).await?;
        let no_type = {
            let mut header = house.mint.header();
            header.as_object_mut().map(|map| map.remove("typ"));
            house.mint.sign_as(&header, &house.claims())
        };
        let long_type = headed(house, "typ", json!("application/at+jwt"));
        let audiences = with(house, "aud", json!(["https://other.example.com", house.audience]));
        for token in [house.token(), no_type, long_type, audiences] {
            works(house.envoy.port(), &token).await?;
        }
        let lower = send_1_0("lower").header("authorization", format!("bearer {}", house.token()));
        ensure!(lower.send(house.envoy.port()).await?.status == 200, "the scheme's case does not matter");
        works(house.envoy.port(), &mesh.token().await?).await?;
        Ok(())
    });
    suite.add("tokens::of_the_authorization_server_for_another_audience", async |mesh| {
        let other = mesh.authorization.token("https://other.example.com", mesh::SCOPES).await?;
        let call = send_1_0("aud").bearer(&other);
        refused(&mesh.inbound, &call, "token_audience_mismatch", &Form::Rpc(json!("aud")), &mesh.token().await?).await?;
        Ok(())
    });
    suite.add("tokens::of_the_authorization_server_with_a_broken_signature", async |mesh| {
        let token = mesh.token().await?;
        ensure!(header(&token)?["alg"] == "RS256", "the authorization server signs with RSA");
        let call = send_1_0("rsa").bearer(&mint::broken_signature(&token)?);
        refused(&mesh.inbound, &call, "token_signature_invalid", &Form::Rpc(json!("rsa")), &token).await?;
        Ok(())
    });
    suite.add("tokens::without_the_scope_is_403_and_names_it", async |mesh| {
        let reader = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        let good = mesh.token().await?;
        for (call, form) in [(send_1_0("sc"), Form::Rpc(json!("sc"))), (get_task_1_0_http("t"), Form::Status)] {
            let reply = refused(&mesh.inbound, &call.bearer(&reader), "insufficient_scope", &form, &good).await?;
            let challenge = reply.header("www-authenticate").unwrap_or_default();
            ensure!(challenge.contains("scope=\"agent:execute\""), "{challenge}");
        }
        Ok(())
    });
    suite.add("tokens::above_envoys_own_header_limit_gets_envoys_431", async |mesh| {
        let call = send_1_0("big").bearer(&"too-big-".repeat(12_500));
        let reply = call.send(mesh.inbound.port()).await?;
        ensure!(reply.status == 431, "{} {}", reply.status, reply.text());
        works(mesh.inbound.port(), &mesh.token().await?).await?;
        Ok(())
    });
    suite.add("tokens::in_query_or_body_are_not_credentials", async |mesh| {
        let token = mesh.token().await?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "access_token": token});
        let call = Call::post(format!("{}?access_token={token}", mesh::AGENT), &body).version("1.0");
        refused(&mesh.inbound, &call, "credentials_missing", &Form::Rpc(json!(1)), &token).await?;
        Ok(())
    });
    suite.add("tokens::three_authorization_headers_over_http2", async |mesh| {
        let token = mesh.token().await?;
        let call = send_1_0("h2").bearer(&token).bearer(&token).bearer(&token);
        let reply = raw::http2(mesh.inbound.port(), &call, 64, &[]).await?;
        refusal::check(&reply, "credentials_repeated", &Form::Rpc(json!("h2")))
    });
}
