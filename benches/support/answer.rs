//! Reads HTTP/1 answers: of a given length, in chunks, or until the connection ends.

/// How far an answer has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more.
    More,
    /// It is complete.
    Done {
        /// Its status.
        status: u16,
        /// Whether the connection may be used again.
        keeps: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Body {
    Head,
    Length(usize),
    /// Bytes of the chunk that are still to come, its line end included.
    Chunk(usize),
    /// The line that says how long the next chunk is: what was read of it so far.
    ChunkLine(usize),
    /// Behind the last chunk: an empty line ends it.
    Trailer {
        empty: bool,
    },
    UntilEnd,
}

/// Reads one answer after the other of a connection.
#[derive(Debug)]
pub struct Reader {
    head: Vec<u8>,
    body: Body,
    status: u16,
    keeps: bool,
}

impl Reader {
    /// Before the first answer.
    pub const fn new() -> Self {
        Self { head: Vec::new(), body: Body::Head, status: 0, keeps: true }
    }

    /// Takes bytes as they came; none means the end of the connection.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            assert!(matches!(self.body, Body::UntilEnd), "the connection ended amid an answer");
            return self.done();
        }
        if matches!(self.body, Body::Head) {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let from = before.saturating_sub(3);
            let found = self.head[from..].windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = found.map(|at| from + at + 4) else { return Step::More };
            bytes = &bytes[end - before..];
            self.read_head(end);
        }
        match self.body {
            Body::Length(missing) => {
                let missing = missing.checked_sub(bytes.len()).expect("more bytes than announced");
                self.body = Body::Length(missing);
                if missing == 0 { self.done() } else { Step::More }
            }
            Body::UntilEnd => Step::More,
            _ => self.feed_chunks(bytes),
        }
    }

    fn done(&mut self) -> Step {
        self.body = Body::Head;
        self.head.clear();
        Step::Done { status: self.status, keeps: self.keeps }
    }

    fn read_head(&mut self, end: usize) {
        let head = &self.head[..end];
        let digits = std::str::from_utf8(&head[9..12]).ok().and_then(|text| text.parse().ok());
        self.status = digits.expect("a status line");
        self.keeps = head.starts_with(b"HTTP/1.1");
        let bodiless = matches!(self.status, 204 | 304);
        self.body = if bodiless { Body::Length(0) } else { Body::UntilEnd };
        for line in head.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") && !bodiless {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.body = Body::Length(length.expect("a length"));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                self.body = Body::ChunkLine(0);
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.keeps = !value.eq_ignore_ascii_case(b"close");
            }
        }
        self.keeps &= !matches!(self.body, Body::UntilEnd);
    }

    fn feed_chunks(&mut self, mut bytes: &[u8]) -> Step {
        while let Some((byte, rest)) = bytes.split_first() {
            match self.body {
                Body::Chunk(missing) => {
                    let part = missing.min(bytes.len());
                    bytes = &bytes[part..];
                    self.body = if part == missing {
                        Body::ChunkLine(0)
                    } else {
                        Body::Chunk(missing - part)
                    };
                    continue;
                }
                Body::ChunkLine(length) => {
                    self.body = match (byte, length) {
                        (b'\r', _) => Body::ChunkLine(length),
                        (b'\n', 0) => Body::Trailer { empty: true },
                        (b'\n', _) => Body::Chunk(length + 2),
                        _ => {
                            let digit = (*byte as char).to_digit(16).expect("a chunk's length");
                            Body::ChunkLine(length * 16 + digit as usize)
                        }
                    };
                }
                Body::Trailer { empty } => match byte {
                    b'\n' if empty => return self.done(),
                    b'\n' => self.body = Body::Trailer { empty: true },
                    b'\r' => {}
                    _ => self.body = Body::Trailer { empty: false },
                },
                Body::Head | Body::Length(_) | Body::UntilEnd => unreachable!("not in chunks"),
            }
            bytes = rest;
        }
        Step::More
    }
}
