//! Protocol buffers on the wire, as far as the stand-ins for gRPC services need them.

use anyhow::{Context, Result, bail};

/// The fields of a message that hold bytes, by number. Numbers among its fields are passed over.
pub fn fields(mut message: &[u8]) -> Result<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = number(&mut message)?;
        let length = match tag & 7 {
            0 => {
                number(&mut message)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut message)?)?,
            5 => 4,
            kind => bail!("wire type {kind}"),
        };
        let (bytes, rest) = message.split_at_checked(length).context("a cut field")?;
        if tag & 7 == 2 {
            found.push((tag >> 3, bytes));
        }
        message = rest;
    }
    Ok(found)
}

/// All fields of `message` with this number that hold bytes.
pub fn all(message: &[u8], number: u64) -> Result<Vec<&[u8]>> {
    Ok(fields(message)?.into_iter().filter(|(own, _)| *own == number).map(|(_, bytes)| bytes).collect())
}

/// A number at the front of `message`, which it takes off.
pub fn number(message: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().context("a cut number")?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number that does not end")
}
