//! A host for the module: the proxy-wasm ABI 0.2.1 and the two WASI calls, done for real on plain data, with a
//! record of everything that was asked. As strict as Envoy: a call at the wrong time is refused, and noted.

use super::boring;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use wasmi::{Caller, Error, Extern, Memory, Val};

pub type Pairs = Vec<(String, Vec<u8>)>;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const CAS_MISMATCH: u32 = 8;

/// Shared data: values and their versions, by name. Workers hold the same.
pub type Board = Rc<RefCell<BTreeMap<String, (Vec<u8>, u32)>>>;

/// One request, as the proxy sees it.
#[derive(Default)]
pub struct Stream {
    pub headers: Pairs,
    /// Once they have arrived.
    pub trailers: Option<Pairs>,
    /// Body bytes that the proxy holds.
    pub held: Vec<u8>,
    /// A body callback was answered with a pause, so that what is held has a limit.
    pub holds: bool,
    /// Body bytes that went on.
    pub forwarded: Vec<u8>,
    /// Body bytes that arrived, delivered or not.
    pub received: u64,
    /// The headers went on: the filter can no longer touch them.
    pub released: bool,
    pub resumed: u32,
    pub reply: Option<Reply>,
    pub response: Response,
    pub state: BTreeMap<String, String>,
}

/// The agent's answer on its way.
#[derive(Default)]
pub struct Response {
    pub headers: Pairs,
    /// The headers went on.
    pub released: bool,
    /// What a body callback is about: the part, or if the body is held all of it that is there.
    pub buffer: Vec<u8>,
    /// A body callback was answered with a pause, so that the buffer has a limit.
    pub held: bool,
    /// A callback is under way in which the buffer can be touched.
    pub open: bool,
    pub forwarded: Vec<u8>,
    /// The stream was reset: the answer is cut off.
    pub reset: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u32,
    pub headers: Pairs,
    pub body: Vec<u8>,
}

/// A call that the module asked for.
pub struct Dispatched {
    pub token: u32,
    pub cluster: String,
    pub headers: Pairs,
    pub timeout: u32,
}

#[derive(Default)]
pub struct Host {
    pub configuration: Vec<u8>,
    pub environment: Vec<String>,
    pub clusters: Vec<&'static str>,
    /// Whether there is a foreign function `verify_signature`.
    pub verifies: bool,
    /// Whether it lacks the foreign function `sign`: Envoy has it from 1.37 on.
    pub signs_nothing: bool,
    /// Whether it lacks the foreign function `declare_property`.
    pub declares_nothing: bool,
    /// Nanoseconds since the epoch.
    pub now: u64,
    /// Root contexts, one per configuration.
    pub roots: Vec<u32>,
    /// The context that calls are about.
    pub effective: u32,
    pub streams: BTreeMap<u32, Stream>,
    /// Most bytes of a body that is held (`per_connection_buffer_limit_bytes`); 0 stands for Envoy's 1 MiB.
    pub limit: usize,
    /// Headers and body of the answer that is being delivered.
    pub answer: (Pairs, Vec<u8>),
    pub tick: u32,
    pub dispatched: Vec<Dispatched>,
    pub log: Vec<String>,
    /// The lowest level that is written: 0 is trace, 6 off.
    pub log_level: u32,
    /// Every call, in order.
    pub calls: Vec<String>,
    /// What the VMs of one `vm_id` share.
    pub board: Board,
    /// Metrics by name; a metric's id is its place from one.
    pub counters: Vec<(String, u32)>,
    /// Those that may fall, by id.
    pub gauges: BTreeSet<u32>,
    /// Calls that the module should not have made.
    pub misuse: Vec<String>,
}

impl Host {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.effective)
    }

    /// The header map of this kind, while the filter can touch it.
    fn map(&mut self, kind: u32) -> Option<&mut Pairs> {
        match kind {
            0 => self.stream().filter(|stream| !stream.released).map(|stream| &mut stream.headers),
            1 => self.stream().and_then(|stream| stream.trailers.as_mut()),
            2 => self.stream().filter(|stream| !stream.response.released).map(|stream| &mut stream.response.headers),
            // Of a call that was reset, or that took too long, Envoy has no headers.
            6 => Some(&mut self.answer.0).filter(|headers| !headers.is_empty()),
            _ => None,
        }
    }
}

/// Does the call `name`; answers its status, or nothing where it has none.
pub fn call(mut caller: Caller<'_, Host>, name: &str, values: &[Val], results: &mut [Val]) -> Result<(), Error> {
    let arguments: Vec<u32> = values.iter().map(number).collect::<Option<_>>().unwrap();
    let mut guest = Guest { caller: &mut caller, arguments };
    let (about, status) = guest.run(name)?;
    let host = caller.data_mut();
    let line = if about.is_empty() { name.to_owned() } else { format!("{name} {about}") };
    if status == BAD_ARGUMENT {
        host.misuse.push(line.clone());
    }
    host.calls.push(line);
    results[0] = Val::I32(status.cast_signed());
    Ok(())
}

/// An argument; what metrics are given fits 32 bits, also where it is to be subtracted.
fn number(value: &Val) -> Option<u32> {
    let long = || value.i64().and_then(|long| u32::try_from(long).ok().or_else(|| Some(i32::try_from(long).ok()?.cast_unsigned())));
    value.i32().map(i32::cast_unsigned).or_else(long)
}

struct Guest<'a, 'b> {
    caller: &'a mut Caller<'b, Host>,
    arguments: Vec<u32>,
}

impl Guest<'_, '_> {
    /// What the call was about, for the record, and its status.
    fn run(&mut self, name: &str) -> Result<(String, u32), Error> {
        let arguments = self.arguments.clone();
        let at = |index: usize| arguments[index];
        let done = |about: String| Ok((about, OK));
        match name {
            "proxy_log" => {
                let line = format!("{} {}", at(0), String::from_utf8(self.bytes(1)).unwrap());
                self.host().log.push(line);
                done(String::new())
            }
            "proxy_get_log_level" => {
                let level = self.host().log_level;
                self.write(at(0), &level.to_le_bytes());
                done(String::new())
            }
            "proxy_get_current_time_nanoseconds" => {
                let now = self.host().now;
                self.write(at(0), &now.to_le_bytes());
                done(String::new())
            }
            "proxy_set_tick_period_milliseconds" => {
                let period = at(0);
                self.host().tick = period;
                done(period.to_string())
            }
            "proxy_set_effective_context" => {
                let id = at(0);
                let known = self.host().roots.contains(&id) || self.host().streams.contains_key(&id);
                if known {
                    self.host().effective = id;
                }
                Ok((id.to_string(), if known { OK } else { BAD_ARGUMENT }))
            }
            "proxy_get_buffer_bytes" => self.buffer(at(0), at(1), at(2)),
            "proxy_set_buffer_bytes" => self.replace(at(0), at(1), at(2)),
            "proxy_get_header_map_pairs" => self.pairs(at(0)),
            "proxy_get_header_map_value" => self.header(at(0)),
            "proxy_replace_header_map_value" | "proxy_remove_header_map_value" | "proxy_add_header_map_value" => self.change_header(name),
            "proxy_get_property" => self.property(),
            "proxy_set_property" => {
                let (key, value) = (String::from_utf8(self.bytes(0)).unwrap(), String::from_utf8(self.bytes(2)).unwrap());
                let stream = self.host().stream();
                let status = if stream.is_some() { OK } else { BAD_ARGUMENT };
                let about = format!("{key}={value}");
                stream.map(|stream| stream.state.insert(key, value));
                Ok((about, status))
            }
            _ => self.remember(name),
        }
    }

    /// What outlives a request: shared data and metrics.
    fn remember(&mut self, name: &str) -> Result<(String, u32), Error> {
        let arguments = self.arguments.clone();
        let at = |index: usize| arguments[index];
        let done = |about: String| Ok((about, OK));
        match name {
            "proxy_get_shared_data" => {
                let name = String::from_utf8(self.bytes(0)).unwrap();
                let found = self.host().board.borrow().get(&name).cloned();
                let Some((value, version)) = found else { return Ok((name, NOT_FOUND)) };
                self.give(2, &value)?;
                self.write(at(4), &version.to_le_bytes());
                done(name)
            }
            "proxy_set_shared_data" => {
                let (name, value) = (String::from_utf8(self.bytes(0)).unwrap(), self.bytes(2));
                let board = Rc::clone(&self.host().board);
                let mut board = board.borrow_mut();
                let version = board.get(&name).map_or(0, |(_, version)| *version);
                if at(4) != 0 && at(4) != version {
                    return Ok((name, CAS_MISMATCH));
                }
                board.insert(name.clone(), (value, version + 1));
                done(name)
            }
            "proxy_define_metric" => {
                let name = String::from_utf8(self.bytes(1)).unwrap();
                let host = self.host();
                host.counters.push((name.clone(), 0));
                let id = u32::try_from(host.counters.len()).unwrap();
                if at(0) == 1 {
                    host.gauges.insert(id);
                }
                self.write(at(3), &id.to_le_bytes());
                done(name)
            }
            "proxy_increment_metric" => {
                let host = self.host();
                let is_gauge = host.gauges.contains(&at(0));
                let counter = host.counters.get_mut(usize::try_from(at(0)).unwrap().wrapping_sub(1));
                let change = at(1).cast_signed();
                let status = if counter.is_some() && (change > 0 || is_gauge) { OK } else { BAD_ARGUMENT };
                if let Some((_, count)) = counter {
                    *count = count.checked_add_signed(change).expect("nothing is below nothing");
                }
                Ok((String::new(), status))
            }
            "proxy_record_metric" => {
                let metric = self.host().counters.get_mut(usize::try_from(at(0)).unwrap().wrapping_sub(1));
                let status = if metric.is_some() { OK } else { BAD_ARGUMENT };
                let mut about = String::new();
                if let Some((name, last)) = metric {
                    *last = at(1);
                    about.clone_from(name);
                }
                Ok((about, status))
            }
            _ => self.act(name),
        }
    }

    /// What becomes of a request, and what is asked of others.
    fn act(&mut self, name: &str) -> Result<(String, u32), Error> {
        let arguments = self.arguments.clone();
        let at = |index: usize| arguments[index];
        let done = |about: String| Ok((about, OK));
        match name {
            "proxy_continue_stream" => {
                let Some(stream) = self.host().stream().filter(|stream| !stream.released && stream.reply.is_none()) else {
                    return Ok((String::new(), BAD_ARGUMENT));
                };
                stream.resumed += 1;
                stream.released = true;
                let held = std::mem::take(&mut stream.held);
                stream.forwarded.extend(held);
                done(String::new())
            }
            "proxy_send_local_response" => {
                let reply = Reply { status: at(0), body: self.bytes(3), headers: parse(&self.bytes(5)) };
                let Some(stream) = self.host().stream().filter(|stream| stream.reply.is_none()) else {
                    return Ok((String::new(), BAD_ARGUMENT));
                };
                let about = reply.status.to_string();
                stream.reply = Some(reply);
                done(about)
            }
            "proxy_http_call" => {
                let (cluster, headers) = (String::from_utf8(self.bytes(0)).unwrap(), parse(&self.bytes(2)));
                let complete = [":method", ":path", ":authority"].iter().all(|name| headers.iter().any(|(given, _)| given == name));
                assert!(complete, "{headers:?}");
                if !self.host().clusters.contains(&cluster.as_str()) {
                    return Ok((cluster, BAD_ARGUMENT));
                }
                let token = u32::try_from(self.host().dispatched.len()).unwrap() + 100;
                self.write(at(9), &token.to_le_bytes());
                let timeout = at(8);
                self.host().dispatched.push(Dispatched { token, cluster: cluster.clone(), headers, timeout });
                done(cluster)
            }
            "proxy_call_foreign_function" => {
                let (function, argument) = (String::from_utf8(self.bytes(0)).unwrap(), self.bytes(2));
                if function == "declare_property" && !self.host().declares_nothing {
                    return Ok((function, OK));
                }
                if function == "sign" && !self.host().signs_nothing {
                    // As Envoy does: without a key the argument is no good.
                    let Some(result) = boring::sign(&argument) else { return Ok((function, BAD_ARGUMENT)) };
                    self.give(4, &result)?;
                    return done(function);
                }
                if function != "verify_signature" || !self.host().verifies {
                    return Ok((function, NOT_FOUND));
                }
                let result = boring::verify_signature(&argument);
                self.give(4, &result)?;
                done(function)
            }
            "environ_sizes_get" => {
                let count = self.host().environment.len();
                let size: usize = self.host().environment.iter().map(|entry| entry.len() + 1).sum();
                for (place, value) in [(at(0), count), (at(1), size)] {
                    self.write(place, &u32::try_from(value).unwrap().to_le_bytes());
                }
                done(String::new())
            }
            "random_get" => {
                let bytes: Vec<u8> = (1..=u8::try_from(at(1)).unwrap()).collect();
                self.write(at(0), &bytes);
                done(String::new())
            }
            "environ_get" => {
                let (mut entry, mut text) = (at(0), at(1));
                for line in self.host().environment.clone() {
                    self.write(entry, &text.to_le_bytes());
                    self.write(text, format!("{line}\0").as_bytes());
                    entry += 4;
                    text += u32::try_from(line.len()).unwrap() + 1;
                }
                done(String::new())
            }
            _ => Err(Error::new(format!("the module called {name}, which it never needed before"))),
        }
    }

    fn buffer(&mut self, kind: u32, start: u32, length: u32) -> Result<(String, u32), Error> {
        let host = self.host();
        let whole = match kind {
            0 => host.stream().map(|stream| stream.held.clone()),
            1 => host.stream().filter(|stream| stream.response.open).map(|stream| stream.response.buffer.clone()),
            4 => Some(host.answer.1.clone()),
            7 => Some(host.configuration.clone()),
            _ => None,
        };
        let about = format!("{kind}");
        let Some(whole) = whole else { return Ok((about, BAD_ARGUMENT)) };
        let (start, length) = (usize::try_from(start).unwrap(), usize::try_from(length).unwrap());
        let part = whole.get(start..whole.len().min(start.saturating_add(length))).unwrap_or_default();
        self.give(3, part)?;
        Ok((about, OK))
    }

    /// Replaces all of a body, or its start. One that is held and outgrows its limit is answered by Envoy inside of this call: it destroys the
    /// stream, which calls back.
    fn replace(&mut self, kind: u32, start: u32, length: u32) -> Result<(String, u32), Error> {
        assert!(start == 0, "bytes in the middle stay");
        let (bytes, about) = (self.bytes(3), format!("{kind}"));
        let host = self.host();
        let (id, most) = (host.effective, if host.limit == 0 { 1 << 20 } else { host.limit });
        let Some(stream) = host.stream().filter(|stream| stream.reply.is_none()) else { return Ok((about, BAD_ARGUMENT)) };
        let (buffer, held) = match kind {
            0 => (&mut stream.held, stream.holds),
            1 if stream.response.open => (&mut stream.response.buffer, stream.response.held),
            _ => return Ok((about, BAD_ARGUMENT)),
        };
        let rest = buffer.split_off(buffer.len().min(usize::try_from(length).unwrap()));
        let grows = bytes.len() > buffer.len();
        *buffer = [bytes, rest].concat();
        let outgrown = held && buffer.len() > most;
        if held && grows {
            host.misuse.push(format!("a body that is held grew: {about}"));
        }
        if outgrown {
            for callback in ["proxy_on_done", "proxy_on_log", "proxy_on_delete"] {
                let function = self.caller.get_export(callback).and_then(Extern::into_func).unwrap();
                let mut results = vec![Val::I32(0); function.ty(&*self.caller).results().len()];
                function.call(&mut *self.caller, &[Val::I32(id.cast_signed())], &mut results)?;
            }
        }
        Ok((about, OK))
    }

    fn pairs(&mut self, kind: u32) -> Result<(String, u32), Error> {
        // Envoy answers with nothing where there is no such map, or no longer.
        let pairs = self.host().map(kind).cloned().unwrap_or_default();
        self.give(1, &serialize(&pairs))?;
        Ok((kind.to_string(), OK))
    }

    fn header(&mut self, kind: u32) -> Result<(String, u32), Error> {
        let name = String::from_utf8(self.bytes(1)).unwrap();
        let Some(pairs) = self.host().map(kind).cloned() else { return Ok((name, BAD_ARGUMENT)) };
        match pairs.into_iter().find(|(given, _)| *given == name) {
            None => Ok((name, NOT_FOUND)),
            Some((_, value)) => {
                self.give(3, &value)?;
                Ok((name, OK))
            }
        }
    }

    fn change_header(&mut self, call: &str) -> Result<(String, u32), Error> {
        let name = String::from_utf8(self.bytes(1)).unwrap();
        let value = if call == "proxy_remove_header_map_value" { Vec::new() } else { self.bytes(3) };
        let kind = self.arguments[0];
        let answered = self.host().stream().is_none_or(|stream| stream.reply.is_some());
        let Some(headers) = self.host().map(kind).filter(|_| !answered && kind < 3) else { return Ok((name, BAD_ARGUMENT)) };
        match call {
            "proxy_remove_header_map_value" => headers.retain(|(given, _)| *given != name),
            "proxy_replace_header_map_value" => match headers.iter_mut().find(|(given, _)| *given == name) {
                Some((_, old)) => *old = value,
                None => headers.push((name.clone(), value)),
            },
            _ => headers.push((name.clone(), value)),
        }
        Ok((name, OK))
    }

    fn property(&mut self) -> Result<(String, u32), Error> {
        let path = String::from_utf8(self.bytes(0)).unwrap().replace('\0', ".");
        let total = self.host().stream().map(|stream| {
            let headers: usize = stream.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            u64::try_from(headers).unwrap() + stream.received
        });
        match (path.as_str(), total) {
            ("request.total_size", Some(total)) => {
                self.give(2, &total.to_le_bytes())?;
                Ok((path, OK))
            }
            _ => Ok((path, NOT_FOUND)),
        }
    }

    fn host(&mut self) -> &mut Host {
        self.caller.data_mut()
    }

    fn memory(&self) -> Memory {
        self.caller.get_export("memory").and_then(Extern::into_memory).unwrap()
    }

    /// The bytes that arguments `index` (address) and the next (length) mean.
    fn bytes(&self, index: usize) -> Vec<u8> {
        let [start, length] = [self.arguments[index], self.arguments[index + 1]].map(|value| usize::try_from(value).unwrap());
        self.memory().data(&*self.caller)[start..start + length].to_vec()
    }

    fn write(&mut self, place: u32, bytes: &[u8]) {
        self.memory().write(&mut *self.caller, usize::try_from(place).unwrap(), bytes).unwrap();
    }

    /// Hands `bytes` over in memory that the module allocates: arguments `index` and the next say where address
    /// and length go.
    fn give(&mut self, index: usize, bytes: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(bytes.len()).unwrap();
        let address = if bytes.is_empty() {
            0
        } else {
            let malloc = self.caller.get_export("malloc").and_then(Extern::into_func).unwrap();
            malloc.typed::<u32, u32>(&*self.caller)?.call(&mut *self.caller, length)?
        };
        let (place, size) = (self.arguments[index], self.arguments[index + 1]);
        self.write(address, bytes);
        self.write(place, &address.to_le_bytes());
        self.write(size, &length.to_le_bytes());
        Ok(())
    }
}

/// The ABI's form of a header list.
fn serialize(pairs: &Pairs) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
    }
    bytes
}

fn parse(bytes: &[u8]) -> Pairs {
    let number = |at: usize| usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
    let count = if bytes.is_empty() { 0 } else { number(0) };
    let mut at = 4 + count * 8;
    let mut take = |length: usize| {
        let part = bytes[at..at + length].to_vec();
        at += length + 1;
        part
    };
    (0..count).map(|index| (String::from_utf8(take(number(4 + index * 8))).unwrap(), take(number(8 + index * 8)))).collect()
}
