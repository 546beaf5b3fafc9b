//! What the servers say of flows whose users agree on another device.

use super::Land;
use serde_json::json;

impl Land {
    /// What begins a flow on another device.
    pub(super) fn begun(&self, path: &str) -> (u16, String) {
        let mut servers = self.servers.borrow_mut();
        servers.flows += 1;
        let number = servers.flows;
        let answer = match (path, servers.lie) {
            (_, "begin") => return (400, json!({"error": "unknown_user_id"}).to_string()),
            ("/device", lie) => json!({"device_code": format!("device-secret-{number}"), "user_code": format!("CODE-{number}"),
                "verification_uri": if lie == "uri" { "http://hr.example/device" } else { "https://hr.example/device" },
                "verification_uri_complete": format!("https://hr.example/device?code=CODE-{number}"), "expires_in": 900}),
            _ => json!({"auth_req_id": format!("request-secret-{number}"), "expires_in": 120, "interval": 2}),
        };
        (200, answer.to_string())
    }

    /// How a flow on another device stands.
    pub(super) fn polled(&self, request: Option<&str>) -> (u16, String) {
        let (decision, lie) = {
            let servers = self.servers.borrow();
            (servers.decision.clone(), servers.lie)
        };
        if decision.contains('_') {
            return (400, json!({"error": decision}).to_string());
        }
        let now = self.seconds();
        let mut claims = json!({"iss": "https://corp.example", "sub": decision, "iat": now, "aud": "attache", "exp": now + 300});
        if let Some(request) = request {
            claims["urn:openid:params:jwt:claim:auth_req_id"] = json!(if lie == "request" { "another" } else { request });
        }
        let named = decision.replace(' ', "_");
        let mut answer = json!({"access_token": format!("access-{named}-1"), "token_type": "Bearer", "expires_in": 300,
            "refresh_token": format!("refresh-{named}-1")});
        if lie != "id_token" {
            answer["id_token"] = json!(self.sign(&claims, "JWT"));
        }
        (200, answer.to_string())
    }
}
