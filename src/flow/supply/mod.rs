//! What is fetched and kept over requests: keys, cards, answers about tokens, tokens, secrets, grants of users. It knows no HTTP streams.

pub mod asking;
pub mod board;
pub mod credentials;
pub mod desk;
pub mod fetches;
pub mod grants;
pub mod introspect;
pub mod keys;
pub mod lane;
mod nonces;
pub mod obtain;
pub mod offered;
pub mod offers;
pub mod remote;
pub mod remote_cards;
pub mod seats;
pub mod shared;
pub mod sitting;
pub mod sought;
pub mod source;
pub mod store;
pub mod token_notes;
pub mod tokens;
pub mod vault;
pub mod verify;
pub mod whose;
pub mod witness;
