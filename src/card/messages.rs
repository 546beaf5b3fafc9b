//! The messages of a card in both protobuf packages, as tables: field numbers, the names that ProtoJSON gives them, types.
//! Sources: `specification/grpc/a2a.proto` of 0.3.0 (`a2a.v1`) and `specification/a2a.proto` of 1.0 (`lf.a2a.v1`).

use crate::protocol::Version;

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// In the order of their numbers.
    pub fields: &'static [Field],
    /// All fields are one oneof.
    pub is_oneof: bool,
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How often.
    pub label: Label,
    /// 1.0 requires it (`google.api.field_behavior`): it is signed also when it is empty.
    pub required: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `string`.
    Text,
    /// `bool`.
    Bool,
    /// Another message.
    Message(&'static Message),
    /// A map from texts to this.
    Map(&'static Kind),
    /// `google.protobuf.Struct`.
    Struct,
}

/// How often a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Once; left out if it is empty or false.
    Plain,
    /// Once or not at all.
    Optional,
    /// As often as it likes.
    Repeated,
}

/// The card of a version.
#[must_use]
pub const fn card(version: Version) -> &'static Message {
    match version {
        Version::V0_3 => &CARD_0_3,
        Version::V1_0 => &CARD_1_0,
    }
}

const fn field(number: u32, name: &'static str, kind: Kind, label: Label) -> Field {
    Field { number, name, kind, label, required: false }
}

const fn required(field: Field) -> Field {
    Field { required: true, ..field }
}

const fn text(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Text, Label::Plain)
}

const fn texts(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Text, Label::Repeated)
}

const fn flag(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Bool, Label::Plain)
}

const fn optional(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Label::Optional)
}

const fn one(number: u32, name: &'static str, message: &'static Message) -> Field {
    field(number, name, Kind::Message(message), Label::Optional)
}

const fn many(number: u32, name: &'static str, message: &'static Message) -> Field {
    field(number, name, Kind::Message(message), Label::Repeated)
}

const fn map(number: u32, name: &'static str, value: &'static Kind) -> Field {
    field(number, name, Kind::Map(value), Label::Optional)
}

const fn all(fields: &'static [Field]) -> Message {
    Message { fields, is_oneof: false }
}

const fn oneof(fields: &'static [Field]) -> Message {
    Message { fields, is_oneof: true }
}

const CARD_1_0: Message = all(&[
    required(text(1, "name")),
    required(text(2, "description")),
    required(many(3, "supportedInterfaces", &INTERFACE_1_0)),
    one(4, "provider", &PROVIDER),
    required(text(5, "version")),
    optional(6, "documentationUrl", Kind::Text),
    required(one(7, "capabilities", &CAPABILITIES_1_0)),
    map(8, "securitySchemes", &Kind::Message(&SCHEME_1_0)),
    many(9, "securityRequirements", &REQUIREMENT),
    required(texts(10, "defaultInputModes")),
    required(texts(11, "defaultOutputModes")),
    required(many(12, "skills", &SKILL_1_0)),
    many(13, "signatures", &SIGNATURE),
    optional(14, "iconUrl", Kind::Text),
]);

const CARD_0_3: Message = all(&[
    text(1, "name"),
    text(2, "description"),
    text(3, "url"),
    one(4, "provider", &PROVIDER),
    text(5, "version"),
    text(6, "documentationUrl"),
    one(7, "capabilities", &CAPABILITIES_0_3),
    map(8, "securitySchemes", &Kind::Message(&SCHEME_0_3)),
    many(9, "security", &REQUIREMENT),
    texts(10, "defaultInputModes"),
    texts(11, "defaultOutputModes"),
    many(12, "skills", &SKILL_0_3),
    flag(13, "supportsAuthenticatedExtendedCard"),
    text(14, "preferredTransport"),
    many(15, "additionalInterfaces", &INTERFACE_0_3),
    text(16, "protocolVersion"),
    many(17, "signatures", &SIGNATURE),
    text(18, "iconUrl"),
]);

const INTERFACE_1_0: Message =
    all(&[required(text(1, "url")), required(text(2, "protocolBinding")), text(3, "tenant"), required(text(4, "protocolVersion"))]);
const INTERFACE_0_3: Message = all(&[text(1, "url"), text(2, "transport")]);
const PROVIDER: Message = all(&[required(text(1, "url")), required(text(2, "organization"))]);
const EXTENSION: Message = all(&[text(1, "uri"), text(2, "description"), flag(3, "required"), optional(4, "params", Kind::Struct)]);
const SIGNATURE: Message = all(&[text(1, "protected"), text(2, "signature"), optional(3, "header", Kind::Struct)]);

const CAPABILITIES_1_0: Message = all(&[
    optional(1, "streaming", Kind::Bool),
    optional(2, "pushNotifications", Kind::Bool),
    many(3, "extensions", &EXTENSION),
    optional(4, "extendedAgentCard", Kind::Bool),
]);
const CAPABILITIES_0_3: Message = all(&[flag(1, "streaming"), flag(2, "pushNotifications"), many(3, "extensions", &EXTENSION)]);

const SKILL_1_0: Message = all(&skill("securityRequirements"));
const SKILL_0_3: Message = all(&skill("security"));

const fn skill(requirements: &'static str) -> [Field; 8] {
    [
        required(text(1, "id")),
        required(text(2, "name")),
        required(text(3, "description")),
        required(texts(4, "tags")),
        texts(5, "examples"),
        texts(6, "inputModes"),
        texts(7, "outputModes"),
        many(8, requirements, &REQUIREMENT),
    ]
}

const REQUIREMENT: Message = all(&[map(1, "schemes", &Kind::Message(&SCOPES))]);
const SCOPES: Message = all(&[texts(1, "list")]);

const SCHEME_1_0: Message = oneof(&scheme(&OAUTH2_1_0));
const SCHEME_0_3: Message = oneof(&scheme(&OAUTH2_0_3));

const fn scheme(oauth2: &'static Message) -> [Field; 5] {
    [
        one(1, "apiKeySecurityScheme", &API_KEY),
        one(2, "httpAuthSecurityScheme", &HTTP_AUTH),
        one(3, "oauth2SecurityScheme", oauth2),
        one(4, "openIdConnectSecurityScheme", &OPEN_ID_CONNECT),
        one(5, "mtlsSecurityScheme", &MUTUAL_TLS),
    ]
}

const API_KEY: Message = all(&[text(1, "description"), required(text(2, "location")), required(text(3, "name"))]);
const HTTP_AUTH: Message = all(&[text(1, "description"), required(text(2, "scheme")), text(3, "bearerFormat")]);
const OPEN_ID_CONNECT: Message = all(&[text(1, "description"), required(text(2, "openIdConnectUrl"))]);
const MUTUAL_TLS: Message = all(&[text(1, "description")]);
const OAUTH2_1_0: Message = all(&[text(1, "description"), required(one(2, "flows", &FLOWS_1_0)), text(3, "oauth2MetadataUrl")]);
const OAUTH2_0_3: Message = all(&[text(1, "description"), one(2, "flows", &FLOWS_0_3), text(3, "oauth2MetadataUrl")]);

const FLOWS_1_0: Message = oneof(&[
    one(1, "authorizationCode", &AUTHORIZATION_CODE_1_0),
    one(2, "clientCredentials", &CLIENT_CREDENTIALS),
    one(3, "implicit", &IMPLICIT),
    one(4, "password", &PASSWORD),
    one(5, "deviceCode", &DEVICE_CODE),
]);
const FLOWS_0_3: Message = oneof(&[
    one(1, "authorizationCode", &AUTHORIZATION_CODE_0_3),
    one(2, "clientCredentials", &CLIENT_CREDENTIALS),
    one(3, "implicit", &IMPLICIT),
    one(4, "password", &PASSWORD),
]);

const AUTHORIZATION_CODE_1_0: Message = all(&[
    required(text(1, "authorizationUrl")),
    required(text(2, "tokenUrl")),
    text(3, "refreshUrl"),
    required(map(4, "scopes", &Kind::Text)),
    flag(5, "pkceRequired"),
]);
const AUTHORIZATION_CODE_0_3: Message =
    all(&[text(1, "authorizationUrl"), text(2, "tokenUrl"), text(3, "refreshUrl"), map(4, "scopes", &Kind::Text)]);
const CLIENT_CREDENTIALS: Message = all(&[required(text(1, "tokenUrl")), text(2, "refreshUrl"), required(map(3, "scopes", &Kind::Text))]);
const PASSWORD: Message = all(&[text(1, "tokenUrl"), text(2, "refreshUrl"), map(3, "scopes", &Kind::Text)]);
const IMPLICIT: Message = all(&[text(1, "authorizationUrl"), text(2, "refreshUrl"), map(3, "scopes", &Kind::Text)]);
const DEVICE_CODE: Message = all(&[
    required(text(1, "deviceAuthorizationUrl")),
    required(text(2, "tokenUrl")),
    text(3, "refreshUrl"),
    required(map(4, "scopes", &Kind::Text)),
]);

#[cfg(test)]
mod tests {
    use super::{Kind, Label, Message, Version, card};

    fn check(message: &Message) {
        let mut last = 0;
        for field in message.fields {
            assert!(field.number > last, "{} is out of order", field.name);
            assert!(!message.is_oneof || field.label == Label::Optional, "{} has presence", field.name);
            last = field.number;
            if let Kind::Message(inner) | Kind::Map(&Kind::Message(inner)) = field.kind {
                check(inner);
            }
        }
    }

    #[test]
    fn fields_stand_in_the_order_of_their_numbers() {
        check(card(Version::V1_0));
        check(card(Version::V0_3));
    }
}
