//! Calls that go as their users: each signs in once and agrees, and nobody else can use what it granted.

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::canary;
use attache_mesh::mesh::Mesh;
use attache_mesh::refusal::{self, Form};
use attache_mesh::sign_in::{HR, ORCHESTRATOR, Other, SignIn, message};
use attache_mesh::user_server::TOKEN;
use serde_json::json;

use crate::credentials::token;
use crate::suite::Suite;

/// "Validate OAuth identity passthrough", step by step, with two users.
async fn two_users(mesh: &'static Mesh) -> Result<()> {
    let house = SignIn::start(mesh, "two-users", Other::default()).await?;
    let mut tokens = Vec::new();
    for user in ["ann", "bob"] {
        let link = house.link(user).await?;
        ensure!(house.agree(user, &link).await? == "Access is allowed");
        let reply = house.send(user, "and now").await?;
        let said = claims(&token(&reply)?)?;
        ensure!(said["sub"] == user && said["aud"] == HR && said["iss"] == house.partner.issuer.as_str(), "{said}");
        tokens.push(token(&reply)?);
        ensure!(token(&house.send(user, "and again").await?)? == tokens[tokens.len() - 1], "one token for all calls of a user");
    }
    ensure!(tokens[0] != tokens[1], "two users with one token");
    ensure!(house.partner.granted("ann", "authorization_code").await? == 1, "one code");
    // Who is no user has nobody who could agree.
    let form = [("grant_type", "client_credentials"), ("resource", ORCHESTRATOR), ("scope", "agent:execute")];
    let service = house.corp.post_as("service", TOKEN, &form).await?.json();
    let own = service["access_token"].as_str().with_context(|| service.to_string())?;
    canary::keep(own);
    let reply = message("no user", &json!({})).bearer(own).send(house.envoy.port()).await?;
    refusal::check(&reply, "user_required", &Form::Rpc(json!("no user")))?;
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough::two_users_sign_in_and_each_calls_with_a_token_of_their_own", two_users);
}
