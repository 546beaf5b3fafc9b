//! A line of curl, as documentation has it and browsers copy it.

use super::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Options without a value that change nothing here.
const PLAIN: [&str; 22] = [
    "-s",
    "--silent",
    "-S",
    "--show-error",
    "-v",
    "--verbose",
    "-i",
    "--include",
    "-k",
    "--insecure",
    "-L",
    "--location",
    "-N",
    "--no-buffer",
    "-f",
    "--fail",
    "--compressed",
    "--http1.1",
    "--http2",
    "-sS",
    "-sv",
    "-si",
];
/// Options with a value that change nothing here.
const VALUED: [&str; 8] = ["-o", "--output", "-w", "--write-out", "-m", "--max-time", "--cacert", "--resolve"];

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(line: &str) -> Result<Request, String> {
    let line = line.replace("\\\r\n", " ").replace("\\\n", " ");
    let words = shlex::split(line.trim()).ok_or("the curl line has a quote without its end")?;
    let mut words = words.into_iter().skip(1).flat_map(split);
    let (mut method, mut url, mut headers, mut data) = (None, None, Vec::new(), None::<Vec<u8>>);
    let mut kind = None;
    let add = |data: &mut Option<Vec<u8>>, more: Vec<u8>| match data {
        Some(data) => {
            data.push(b'&');
            data.extend(more);
        }
        None => *data = Some(more),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("curl's option {word} has no value"));
        match word.as_str() {
            "-X" | "--request" => method = Some(value()?),
            "-I" | "--head" => method = Some("HEAD".to_owned()),
            "--url" => url = Some(value()?),
            "-H" | "--header" => headers.extend(header(&value()?)),
            "-A" | "--user-agent" => headers.push(("user-agent".to_owned(), value()?)),
            "-b" | "--cookie" => headers.push(("cookie".to_owned(), value()?)),
            "-u" | "--user" => headers.push(("authorization".to_owned(), format!("Basic {}", STANDARD.encode(value()?)))),
            "--oauth2-bearer" => headers.push(("authorization".to_owned(), format!("Bearer {}", value()?))),
            "-d" | "--data" | "--data-ascii" => add(&mut data, content(&value()?, true)?),
            "--data-binary" => add(&mut data, content(&value()?, false)?),
            "--data-raw" => add(&mut data, value()?.into_bytes()),
            "--json" => {
                add(&mut data, content(&value()?, false)?);
                kind = Some("application/json");
            }
            plain if PLAIN.contains(&plain) => {}
            valued if VALUED.contains(&valued) => drop(value()?),
            option if option.starts_with('-') => return Err(format!("curl's option {option} is not known here: leave it out")),
            _ => url = Some(word),
        }
    }
    let url = url.ok_or("the curl line has no URL")?;
    let method = method.unwrap_or_else(|| if data.is_some() { "POST" } else { "GET" }.to_owned());
    let has_type = headers.iter().any(|(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type"));
    if data.is_some() && !has_type {
        headers.insert(0, ("content-type".to_owned(), kind.unwrap_or("application/x-www-form-urlencoded").to_owned()));
    }
    Request::to(&method, &url, headers, data.unwrap_or_default())
}

/// `-XPOST` as `-X POST`, `--request=POST` as `--request POST`.
fn split(word: String) -> Vec<String> {
    let short = ["-X", "-H", "-d", "-u", "-b", "-A"].into_iter().find(|option| word.len() > 2 && word.starts_with(option));
    match (short, word.strip_prefix("--").and_then(|long| long.split_once('='))) {
        (Some(option), _) => vec![option.to_owned(), word.get(2..).unwrap_or_default().to_owned()],
        (None, Some((name, value))) => vec![format!("--{name}"), value.to_owned()],
        (None, None) => vec![word],
    }
}

/// `Name: value`; nothing for `Name:`, by which curl leaves a header of its own out, and `Name;`, by which it sends an empty one.
fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    (!value.trim().is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// Data as it is, or from a file: `@name`. curl takes line breaks out of files that it sends as a form.
fn content(value: &str, is_form: bool) -> Result<Vec<u8>, String> {
    let Some(file) = value.strip_prefix('@') else { return Ok(value.as_bytes().to_vec()) };
    let mut bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    if is_form {
        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    }
    Ok(bytes)
}
