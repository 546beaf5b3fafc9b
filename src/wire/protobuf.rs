//! Protocol buffers on the wire (protobuf.dev, "Encoding"), read strictly: what parsers merge, skip or read in two ways
//! is refused. [`Document`] streams a message and finds what a [`Plan`] asks for, with memory that does not depend on
//! the message; [`fields`] reads one that is there whole; [`rewrite`] changes texts in one, [`graft`] adds fields to
//! one; [`Writer`] writes one. Knows no message of A2A.

mod document;
mod graft;
mod place;
mod plan;
mod rewrite;
mod varint;
mod whole;

pub use document::Document;
pub use graft::{graft, only};
pub use plan::{Plan, Step, Type};
pub use rewrite::{Seen, rewrite};
pub use whole::{Raw, Writer, fields};

use thiserror::Error;

/// Why a message is refused. The same whatever the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The body ended too early, or holds no message.
    #[error("the message is incomplete")]
    Incomplete,
    /// A second message where one belongs.
    #[error("something follows the message")]
    Trailing,
    /// The message is compressed.
    #[error("the message is compressed")]
    Compressed,
    /// The first byte of a gRPC message is neither 0 nor 1.
    #[error("the message has an unknown flag")]
    Flag,
    /// More than 10 bytes or 64 bits, or longer than need be.
    #[error("a varint is too long")]
    Varint,
    /// A field number of 0 or over 2^29-1, or a wire type that does not exist.
    #[error("a tag is invalid")]
    Tag,
    /// Groups (wire types 3 and 4), which proto3 does not have.
    #[error("the message has a group")]
    Group,
    /// A field is longer than the message that it is in.
    #[error("a field leaves its message")]
    Length,
    /// A known field is not encoded as its type is.
    #[error("a field has the wrong wire type")]
    WireType,
    /// A text is no UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A number that its type does not have.
    #[error("a number is out of range")]
    Range,
    /// A field that is there once is there again, or another of its oneof: parsers merge or take the last.
    #[error("a field is repeated")]
    Repeated,
    /// An entry of a map is not a key and then, if anything, a value. Some parsers drop entries with anything else.
    #[error("a map entry is not a key and a value")]
    Entry,
    /// More messages inside each other than allowed.
    #[error("the message is nested too deeply")]
    TooDeep,
    /// More different values of something asked for than allowed.
    #[error("the message has too many different values")]
    TooManyValues,
    /// It has more bytes than allowed, or would have when it is changed.
    #[error("the message is too long")]
    TooLong,
}

impl Fault {
    /// Whether the bytes can be read, but in more than one way.
    #[must_use]
    pub const fn is_ambiguous(self) -> bool {
        matches!(self, Self::Repeated | Self::WireType | Self::Entry | Self::Range | Self::TooDeep | Self::TooManyValues)
    }
}
