//! How refusals look on the wire: reasons of one class differ in their code and their advice only.

/// How a class of reasons is put on the wire.
#[derive(Clone, Copy, Debug)]
pub(in crate::flow) struct Class {
    pub http: u16,
    /// The HTTP status over JSON-RPC.
    pub jsonrpc_http: u16,
    pub jsonrpc: i32,
    /// `google.rpc.Code`: by name in JSON, by number in gRPC.
    pub status: Code,
    /// `error` of the challenge (RFC 6750 section 3.1), for classes that have one.
    pub challenge: Option<&'static str>,
}

impl Class {
    /// RFC 6750 section 3.1: no error code if the request had no credential at all, and no word for one that is no token.
    pub const UNAUTHENTICATED: Self = Self::new(401, -32050, Code::Unauthenticated, Some(""));
    pub const INVALID_REQUEST: Self = Self::new(401, -32050, Code::Unauthenticated, Some("invalid_request"));
    pub const INVALID_TOKEN: Self = Self::new(401, -32050, Code::Unauthenticated, Some("invalid_token"));
    /// RFC 6750 section 3.1 has this one code for "requires higher privileges".
    pub const INSUFFICIENT_SCOPE: Self = Self::new(403, -32051, Code::PermissionDenied, Some("insufficient_scope"));
    pub const VERSION: Self = Self::new(400, -32009, Code::FailedPrecondition, None).as_result();
    pub const UNMATCHED: Self = Self::new(404, -32601, Code::NotFound, None);
    pub const NOT_FOUND: Self = Self::new(404, -32601, Code::NotFound, None).as_result();
    pub const METHOD: Self = Self::new(405, -32601, Code::Unimplemented, None);
    pub const PARSE_ERROR: Self = Self::new(400, -32700, Code::InvalidArgument, None).as_result();
    pub const AMBIGUOUS: Self = Self::new(400, -32600, Code::InvalidArgument, None).as_result();
    pub const BODY_TOO_LARGE: Self = Self::new(413, -32052, Code::ResourceExhausted, None);
    pub const PATH_TOO_LONG: Self = Self::new(414, -32052, Code::ResourceExhausted, None);
    pub const MEDIA_TYPE: Self = Self::new(415, -32005, Code::InvalidArgument, None).as_result();
    pub const UNSUPPORTED_OPERATION: Self = Self::new(400, -32004, Code::FailedPrecondition, None).as_result();
    pub const CONTENT_TYPE: Self = Self::new(400, -32005, Code::InvalidArgument, None).as_result();
    pub const INVALID_PARAMS: Self = Self::new(400, -32602, Code::InvalidArgument, None).as_result();
    pub const PUSH: Self = Self::new(400, -32003, Code::FailedPrecondition, None).as_result();
    pub const TASK_NOT_FOUND: Self = Self::new(404, -32001, Code::TaskNotFound, None).as_result();
    /// No JSON-RPC request is one: the code is never sent.
    pub const NOTIFICATION: Self = Self::new(400, -32054, Code::InvalidArgument, None);
    pub const BAD_AGENT: Self = Self::new(502, -32006, Code::Internal, None);
    pub const UNAVAILABLE: Self = Self::new(503, -32053, Code::Unavailable, None);
    pub const BAD_GATEWAY: Self = Self::new(502, -32053, Code::Unavailable, None);
    pub const INTERNAL: Self = Self::new(500, -32603, Code::Internal, None);

    const fn new(http: u16, jsonrpc: i32, status: Code, challenge: Option<&'static str>) -> Self {
        Self { http, jsonrpc_http: http, jsonrpc, status, challenge }
    }

    /// The same where the request is at fault by the terms of JSON-RPC or A2A. Over JSON-RPC every server of an SDK says so with
    /// 200, and clients of SDKs read no error that comes with another status.
    const fn as_result(self) -> Self {
        Self { jsonrpc_http: 200, ..self }
    }
}

/// The codes of `google.rpc.Code` in use.
#[derive(Clone, Copy, Debug)]
pub(in crate::flow) enum Code {
    InvalidArgument,
    NotFound,
    TaskNotFound,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
}

impl Code {
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound | Self::TaskNotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The number, for a caller of A2A 0.3 or a later one. Servers of 0.3 say of what they do not offer that it is not implemented, and
    /// clients make their errors of that.
    pub const fn number(self, is_0_3: bool) -> u8 {
        match self {
            Self::FailedPrecondition if is_0_3 => 12,
            Self::InvalidArgument => 3,
            // What a server does not have is UNIMPLEMENTED in gRPC; NOT_FOUND is for tasks.
            Self::NotFound | Self::Unimplemented => 12,
            Self::TaskNotFound => 5,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }
}
