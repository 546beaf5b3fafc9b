//! A request that somebody describes or captured: read from whatever form it has.

mod curl;
mod har;
mod http_file;
mod json;

use attache::wire::header::Headers;

/// A request, as Envoy gives it to the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names in lower case and values, `:method` and the like first.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

/// Headers about the connection, which Envoy takes out (RFC 9110 section 7.6.1).
const OF_THE_HOP: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

impl Request {
    /// Reads `text`: a line of curl, a HAR file (its request number `entry`), JSON, or an HTTP message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str, entry: usize) -> Result<Self, String> {
        let start = text.trim_start();
        if start.starts_with('{') {
            let document = serde_json::from_str(start).map_err(|error| format!("this is no JSON: {error}"))?;
            return if har::is_one(&document) { har::read(&document, entry) } else { json::read(&document) };
        }
        if start.starts_with("curl ") { curl::read(start) } else { http_file::read(text) }
    }

    /// A request to `url`. A `host` among the headers counts more than that of the URL.
    fn to(method: &str, url: &str, headers: Vec<(String, String)>, body: Vec<u8>) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let lower: Vec<(String, String)> =
            headers.into_iter().map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())).collect();
        let named = lower.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
        let authority = named.unwrap_or_else(|| authority.to_owned());
        if authority.is_empty() {
            return Err("the request names no host".to_owned());
        }
        let pseudo = [(":method", method), (":scheme", scheme), (":authority", &authority), (":path", &path)];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let own = lower.into_iter().filter(|(name, _)| name != "host" && !OF_THE_HOP.contains(&name.as_str()));
        let own = own.map(|(name, value)| (name, value.into_bytes()));
        Ok(Self { headers: pseudo.into_iter().chain(own).collect(), body })
    }

    /// As the filter reads them.
    pub fn headers(&self) -> Headers {
        Headers::new(self.headers.clone())
    }

    /// The first header of this name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own == name)?;
        str::from_utf8(value).ok()
    }

    /// Where it goes, without its query, in which a credential can be.
    pub fn line(&self) -> String {
        let part = |name: &str| self.header(name).unwrap_or("?");
        let path = part(":path");
        let (path, query) = path.split_once('?').map_or((path, ""), |(path, _)| (path, "?…"));
        format!("{} {}{path}{query}", part(":method"), part(":authority"))
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn told(text: &str) -> String {
        let request = match Request::read(text, 1) {
            Ok(request) => request,
            Err(error) => return error,
        };
        let headers = request.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
        let headers: Vec<String> = headers.filter(|header| !header.starts_with(":scheme")).collect();
        format!("{} | {}", headers.join(" "), String::from_utf8_lossy(&request.body))
    }

    #[test]
    fn one_request_is_the_same_in_every_form() {
        let expected = r#":method=POST :authority=a.example:8080 :path=/x?q=1 content-type=application/json x-key=k v | {"id":1}"#;
        for text in [
            "POST /x?q=1 HTTP/1.1\r\nHost: a.example:8080\r\nContent-Type: application/json\r\nConnection: close\r\nX-Key: k v\r\n\r\n{\"id\":1}",
            "# a comment\nPOST http://a.example:8080/x?q=1\ncontent-type: application/json\nx-key:k v\n\n{\"id\":1}\n",
            "POST /x?q=1 HTTP/1.1\nhost: a.example:8080\ncontent-type: application/json\nX-Key: k v\n\n{\"id\":1}\n\n### next\nGET http://b/\n",
            "curl -s http://a.example:8080/x?q=1 \\\n  -H 'Content-Type: application/json' --header \"X-Key: k v\" -d '{\"id\":1}'\n",
            "curl --json '{\"id\":1}' -H 'accept;' -XPOST -H 'Accept:' 'a.example:8080/x?q=1' -H 'x-key: k v'",
            r#"{"method": "POST", "url": "http://a.example:8080/x?q=1", "headers": {"Content-Type": "application/json", "X-Key": "k v"}, "body": {"id": 1}}"#,
            r#"{"headers": [[":method", "POST"], [":scheme", "http"], [":authority", "a.example:8080"], [":path", "/x?q=1"],
                ["content-type", "application/json"], ["x-key", "k v"]], "body_base64": "eyJpZCI6MX0="}"#,
            r#"{"log": {"entries": [{"request": {"method": "POST", "url": "http://a.example:8080/x?q=1#f", "headers": [
                {"name": ":authority", "value": "a.example:8080"}, {"name": "Content-Type", "value": "application/json"}, {"name": "X-Key", "value": "k v"}],
                "postData": {"mimeType": "application/json", "text": "{\"id\":1}"}}}]}}"#,
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_as_the_tools_have_it() {
        for (text, expected) in [
            ("curl https://a.example", ":method=GET :authority=a.example :path=/ | "),
            (
                "curl -X DELETE https://a.example/?x -u ann:pw",
                ":method=DELETE :authority=a.example :path=/?x authorization=Basic YW5uOnB3 | ",
            ),
            ("curl --oauth2-bearer t -b a=b -I https://a/", ":method=HEAD :authority=a :path=/ authorization=Bearer t cookie=a=b | "),
            ("curl https://a/ -d a -d b", ":method=POST :authority=a :path=/ content-type=application/x-www-form-urlencoded | a&b"),
            ("curl https://a/ -H 'Host: b'", ":method=GET :authority=b :path=/ | "),
            ("curl https://a/ --proxy http://p", "curl's option --proxy is not known here: leave it out"),
            ("curl -s", "the curl line has no URL"),
            ("curl 'https://a", "the curl line has a quote without its end"),
            ("GET / HTTP/1.1\n\n", "the request names no host"),
            ("hello", "this is no request: an HTTP message begins with a line like POST /path HTTP/1.1"),
            ("POST http://a/\nno header\n\n", "line 2 is no header: a name, a colon and a value"),
            ("POST http://a/\ncontent-length: 3\n\nabcdef", ":method=POST :authority=a :path=/ content-length=3 | abc"),
            ("{}", "the request has no url and no :path among its headers"),
            ("{", "this is no JSON: EOF while parsing an object at line 1 column 1"),
            (r#"{"log": {"entries": []}}"#, "the HAR file has 0 requests: there is no number 1"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
