//! JSON as text: a body is checked once, and only the parts that an edit changes are parsed.
//!
//! Everything else stays byte for byte as it was sent: numbers of any size keep their digits, and members keep their
//! order and spacing. The nesting of a body causes no recursion; writing recurses only as deep as a pointer.

use std::borrow::Cow;

mod check;
mod pointer;
mod text;

#[cfg(test)]
use check::MAX_DEPTH;
pub use check::{Flaw, MAX_PARTS, check};
pub use pointer::Pointer;
pub use text::{decode_string, encode_string, parts};

/// A body.
#[derive(Debug)]
pub struct Document<'a> {
    root: Node<'a>,
    /// The length of the body as it arrived.
    length: usize,
    changed: bool,
}

/// A value: as it was written, or parsed.
#[derive(Debug, Clone)]
enum Node<'a> {
    Text(Cow<'a, str>),
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
}

/// The name and the value of an object's member.
#[derive(Debug, Clone)]
struct Member<'a> {
    /// The name as it was written, with its quotes.
    written: Cow<'a, str>,
    /// The decoded name, for comparison.
    name: Vec<u8>,
    value: Node<'a>,
}

impl<'a> Document<'a> {
    /// Parses a body.
    ///
    /// # Errors
    /// It is not JSON, or nested too deep.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let text = check(bytes)?;
        Ok(Self {
            root: Node::Text(Cow::Borrowed(text.trim_ascii())),
            length: text.len(),
            changed: false,
        })
    }

    /// The JSON text of a value.
    ///
    /// # Errors
    /// An object or array on the way has too many members.
    pub fn read(&mut self, pointer: &Pointer) -> Result<Option<String>, Flaw> {
        let value = find(&mut self.root, pointer.tokens())?;
        Ok(value.map(|value| {
            let mut text = String::new();
            write(value, &mut text);
            text
        }))
    }

    /// Replaces a value by a JSON text, and creates the objects that are missing on the way. In an array, the index
    /// must exist or be `-`, which appends. Does nothing if the pointer leads through any other value.
    ///
    /// # Errors
    /// An object or array on the way has too many members.
    pub fn set(&mut self, pointer: &Pointer, value: impl Into<Cow<'a, str>>) -> Result<(), Flaw> {
        self.put(pointer, Node::Text(value.into())).map(drop)
    }

    fn put(&mut self, pointer: &Pointer, value: Node<'a>) -> Result<bool, Flaw> {
        let is_set = match pointer.split_last() {
            None => {
                self.root = value;
                true
            }
            Some((parents, last)) => match make(&mut self.root, parents, last)? {
                Some(Node::Object(members)) => {
                    put_member(members, last, value);
                    true
                }
                Some(Node::Array(elements)) if last == "-" => {
                    elements.push(value);
                    true
                }
                Some(Node::Array(elements)) => match element(elements, last) {
                    Some(element) => {
                        *element = value;
                        true
                    }
                    None => false,
                },
                Some(Node::Text(_)) | None => false,
            },
        };
        self.changed |= is_set;
        Ok(is_set)
    }

    /// As [`set`](Self::set), but inserts before the element of the index in an array (RFC 6902, section 4.1).
    ///
    /// # Errors
    /// An object or array on the way has too many members.
    pub fn add(&mut self, pointer: &Pointer, value: impl Into<Cow<'a, str>>) -> Result<(), Flaw> {
        let value = Node::Text(value.into());
        if let Some((parents, last)) = pointer.split_last()
            && let Some(Node::Array(elements)) = make(&mut self.root, parents, last)?
            && let Some(index) = pointer::index(last)
        {
            if index <= elements.len() {
                elements.insert(index, value);
                self.changed = true;
            }
            return Ok(());
        }
        self.put(pointer, value).map(drop)
    }

    /// Removes a value. The whole body cannot be removed.
    ///
    /// # Errors
    /// An object or array on the way has too many members.
    pub fn remove(&mut self, pointer: &Pointer) -> Result<(), Flaw> {
        let Some((parents, last)) = pointer.split_last() else {
            return Ok(());
        };
        let parent = find(&mut self.root, parents)?;
        match parent.map(Node::opened).transpose()? {
            Some(Node::Object(members)) => {
                let before = members.len();
                members.retain(|member| member.name != last.as_bytes());
                self.changed |= members.len() < before;
            }
            Some(Node::Array(elements)) => {
                if let Some(index) = pointer::index(last).filter(|&index| index < elements.len()) {
                    elements.remove(index);
                    self.changed = true;
                }
            }
            Some(Node::Text(_)) | None => {}
        }
        Ok(())
    }

    /// Moves a value to another pointer, as [`set`](Self::set) would put it there. If that is impossible, the value
    /// stays where it is.
    ///
    /// # Errors
    /// An object or array on the way has too many members.
    pub fn rename(&mut self, from: &Pointer, to: &Pointer) -> Result<(), Flaw> {
        let Some(value) = find(&mut self.root, from.tokens())?.map(|value| value.clone()) else {
            return Ok(());
        };
        // If the value replaced the object that contained it, it is no longer in its old position.
        if self.put(to, value)? && !to.leads_to(from) {
            self.remove(from)?;
        }
        Ok(())
    }

    /// The text, if an edit changed it.
    pub fn into_changed(self) -> Option<String> {
        self.changed.then(|| {
            let mut text = String::with_capacity(self.length + self.length / 16);
            write(&self.root, &mut text);
            text
        })
    }
}

/// The value at the end of these tokens, not parsed itself.
fn find<'n, 'a>(
    mut node: &'n mut Node<'a>,
    tokens: &[String],
) -> Result<Option<&'n mut Node<'a>>, Flaw> {
    for token in tokens {
        let inner = match node.opened()? {
            Node::Object(members) => members
                .iter_mut()
                .find(|member| member.name == token.as_bytes())
                .map(|member| &mut member.value),
            Node::Array(elements) => element(elements, token),
            Node::Text(_) => None,
        };
        let Some(inner) = inner else { return Ok(None) };
        node = inner;
    }
    Ok(Some(node))
}

/// The same, parsed. Members that are missing on the way become empty objects, or an empty array if the next token is a
/// final `-`.
fn make<'n, 'a>(
    mut node: &'n mut Node<'a>,
    tokens: &[String],
    last: &str,
) -> Result<Option<&'n mut Node<'a>>, Flaw> {
    for (place, token) in tokens.iter().enumerate() {
        let inner = match node.opened()? {
            Node::Object(members) => {
                let known = members
                    .iter()
                    .position(|member| member.name == token.as_bytes());
                let known = known.unwrap_or_else(|| {
                    let is_array = place + 1 == tokens.len() && last == "-";
                    let made = match is_array {
                        true => Node::Array(Vec::new()),
                        false => Node::Object(Vec::new()),
                    };
                    put_member(members, token, made);
                    members.len() - 1
                });
                members.get_mut(known).map(|member| &mut member.value)
            }
            Node::Array(elements) => element(elements, token),
            Node::Text(_) => None,
        };
        let Some(inner) = inner else { return Ok(None) };
        node = inner;
    }
    node.opened().map(Some)
}

fn element<'n, 'a>(elements: &'n mut [Node<'a>], token: &str) -> Option<&'n mut Node<'a>> {
    elements.get_mut(pointer::index(token)?)
}

fn put_member<'a>(members: &mut Vec<Member<'a>>, name: &str, value: Node<'a>) {
    let known = members
        .iter_mut()
        .find(|member| member.name == name.as_bytes());
    match known {
        Some(member) => member.value = value,
        None => members.push(Member {
            written: encode_string(name).into(),
            name: name.into(),
            value,
        }),
    }
}

fn write(node: &Node<'_>, text: &mut String) {
    match node {
        Node::Text(written) => text.push_str(written),
        Node::Object(members) => {
            text.push('{');
            for (place, member) in members.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&member.written);
                text.push(':');
                write(&member.value, text);
            }
            text.push('}');
        }
        Node::Array(elements) => {
            text.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(element, text);
            }
            text.push(']');
        }
    }
}

impl<'a> Node<'a> {
    /// Parses an object or an array, one level deep.
    fn opened(&mut self) -> Result<&mut Self, Flaw> {
        if let Self::Text(text) = self {
            let opened = match text {
                Cow::Borrowed(text) => open(text)?,
                Cow::Owned(text) => open(text)?.map(Node::into_owned),
            };
            if let Some(opened) = opened {
                *self = opened;
            }
        }
        Ok(self)
    }

    fn into_owned(self) -> Node<'static> {
        match self {
            Self::Text(text) => Node::Text(text.into_owned().into()),
            Self::Object(members) => {
                let owned = members.into_iter().map(|member| Member {
                    written: member.written.into_owned().into(),
                    name: member.name,
                    value: member.value.into_owned(),
                });
                Node::Object(owned.collect())
            }
            Self::Array(elements) => {
                Node::Array(elements.into_iter().map(Node::into_owned).collect())
            }
        }
    }
}

/// The parts of an object or an array; `None` for any other value.
fn open(text: &str) -> Result<Option<Node<'_>>, Flaw> {
    let mut parts = parts(text);
    let node = match text.as_bytes().first() {
        Some(b'{') => {
            let mut members = Vec::new();
            while let (Some(written), Some(value)) = (parts.next(), parts.next()) {
                if members.len() == MAX_PARTS {
                    return Err(Flaw::Width);
                }
                members.push(Member {
                    written: written.into(),
                    name: decode_string(written),
                    value: Node::Text(value.into()),
                });
            }
            keep_last(&mut members);
            Node::Object(members)
        }
        Some(b'[') => {
            let mut elements = Vec::new();
            for element in parts {
                if elements.len() == MAX_PARTS {
                    return Err(Flaw::Width);
                }
                elements.push(Node::Text(element.into()));
            }
            Node::Array(elements)
        }
        Some(_) | None => return Ok(None),
    };
    Ok(Some(node))
}

/// Keeps only the last of several members of one name. Readers disagree on which one counts, and the endpoint must read
/// the same one as the edits.
fn keep_last(members: &mut Vec<Member<'_>>) {
    let mut places: Vec<usize> = (0..members.len()).collect();
    let name = |place: &usize| members.get(*place).map(|member| member.name.as_slice());
    places.sort_by(|one, other| name(one).cmp(&name(other)));
    let mut stays = vec![true; members.len()];
    for pair in places.windows(2) {
        if let [earlier, later] = pair
            && name(earlier) == name(later)
            && let Some(stay) = stays.get_mut(*earlier)
        {
            *stay = false;
        }
    }
    let mut stays = stays.into_iter();
    members.retain(|_| stays.next().unwrap_or(true));
}

#[cfg(test)]
mod tests;
