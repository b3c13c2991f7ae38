//! JSON as text: a body is checked once, and only what an edit goes into is taken apart.
//!
//! Everything else stays byte for byte as it was sent: numbers of any size keep their digits, and
//! members keep their order and spacing. No recursion follows the nesting of a body; [`write`] goes
//! only as deep as a pointer.

use std::borrow::Cow;

mod check;
mod pointer;
mod text;

#[cfg(test)]
use check::MAX_DEPTH;
pub use check::{Flaw, check};
pub use pointer::Pointer;
pub use text::{decode_string, encode_string, parts};

/// A body in hand.
#[derive(Debug)]
pub struct Document<'a> {
    root: Node<'a>,
    /// The length of the body as it came.
    length: usize,
    changed: bool,
}

/// A value: as it was written, or taken apart.
#[derive(Debug, Clone)]
enum Node<'a> {
    Text(Cow<'a, str>),
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
}

/// A name of an object and its value.
#[derive(Debug, Clone)]
struct Member<'a> {
    /// As it was written, with its quotes.
    written: Cow<'a, str>,
    /// Decoded, to compare.
    name: Vec<u8>,
    value: Node<'a>,
}

impl<'a> Document<'a> {
    /// Takes a body.
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
    pub fn read(&mut self, pointer: &Pointer) -> Option<String> {
        let mut text = String::new();
        write(find(&mut self.root, pointer.tokens())?, &mut text);
        Some(text)
    }

    /// Puts a JSON text in the place of a value, and makes the objects that are missing on the way. An
    /// array takes it at an index that it has, or at `-`, after its last element. Does nothing where
    /// the pointer leads through anything else.
    pub fn set(&mut self, pointer: &Pointer, value: impl Into<Cow<'a, str>>) {
        self.put(pointer, Node::Text(value.into()));
    }

    fn put(&mut self, pointer: &Pointer, value: Node<'a>) -> bool {
        let is_set = match pointer.split_last() {
            None => {
                self.root = value;
                true
            }
            Some((parents, last)) => match make(&mut self.root, parents, last) {
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
        is_set
    }

    /// As [`set`](Self::set), but an array takes it before the element of the index (RFC 6902, section
    /// 4.1).
    pub fn add(&mut self, pointer: &Pointer, value: impl Into<Cow<'a, str>>) {
        let value = Node::Text(value.into());
        if let Some((parents, last)) = pointer.split_last()
            && let Some(Node::Array(elements)) = make(&mut self.root, parents, last)
            && let Some(index) = pointer::index(last)
        {
            if index <= elements.len() {
                elements.insert(index, value);
                self.changed = true;
            }
            return;
        }
        self.put(pointer, value);
    }

    /// Removes a value. The whole body cannot be removed.
    pub fn remove(&mut self, pointer: &Pointer) {
        let Some((parents, last)) = pointer.split_last() else {
            return;
        };
        let parent = find(&mut self.root, parents);
        match parent.map(Node::opened) {
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
    }

    /// Moves a value to another place, as [`set`](Self::set) would put it there. It stays where it is
    /// if it cannot go there.
    pub fn rename(&mut self, from: &Pointer, to: &Pointer) {
        let Some(value) = find(&mut self.root, from.tokens()).map(|value| value.clone()) else {
            return;
        };
        // A value that takes the place of what it was in has gone from there already.
        if self.put(to, value) && !to.leads_to(from) {
            self.remove(from);
        }
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

/// The value at the end of these tokens, not taken apart.
fn find<'n, 'a>(mut node: &'n mut Node<'a>, tokens: &[String]) -> Option<&'n mut Node<'a>> {
    for token in tokens {
        node.open();
        node = match node {
            Node::Object(members) => {
                &mut members
                    .iter_mut()
                    .find(|member| member.name == token.as_bytes())?
                    .value
            }
            Node::Array(elements) => element(elements, token)?,
            Node::Text(_) => return None,
        };
    }
    Some(node)
}

/// The same, taken apart; an object takes what it lacks as an empty object, or as an empty array where
/// something is to be put at `-` of it.
fn make<'n, 'a>(
    mut node: &'n mut Node<'a>,
    tokens: &[String],
    last: &str,
) -> Option<&'n mut Node<'a>> {
    node.open();
    for (place, token) in tokens.iter().enumerate() {
        node = match node {
            Node::Object(members) => {
                let known = members
                    .iter()
                    .position(|member| member.name == token.as_bytes());
                let place = known.unwrap_or_else(|| {
                    let is_array = place + 1 == tokens.len() && last == "-";
                    let made = match is_array {
                        true => Node::Array(Vec::new()),
                        false => Node::Object(Vec::new()),
                    };
                    put_member(members, token, made);
                    members.len() - 1
                });
                &mut members.get_mut(place)?.value
            }
            Node::Array(elements) => element(elements, token)?,
            Node::Text(_) => return None,
        };
        node.open();
    }
    Some(node)
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
    /// Takes an object or an array apart, one level deep.
    fn open(&mut self) {
        let Self::Text(text) = self else { return };
        let opened = match text {
            Cow::Borrowed(text) => open(text),
            Cow::Owned(text) => open(text).map(Node::into_owned),
        };
        if let Some(opened) = opened {
            *self = opened;
        }
    }

    fn opened(&mut self) -> &mut Self {
        self.open();
        self
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

/// The parts of an object or an array; none of any other value.
fn open(text: &str) -> Option<Node<'_>> {
    let parts = parts(text);
    match text.as_bytes().first() {
        Some(b'{') => {
            let mut members = Vec::new();
            let mut parts = parts;
            while let (Some(written), Some(value)) = (parts.next(), parts.next()) {
                members.push(Member {
                    written: written.into(),
                    name: decode_string(written),
                    value: Node::Text(value.into()),
                });
            }
            keep_last(&mut members);
            Some(Node::Object(members))
        }
        Some(b'[') => Some(Node::Array(
            parts.map(|part| Node::Text(part.into())).collect(),
        )),
        Some(_) | None => None,
    }
}

/// Of several members of one name only the last one stays: readers differ in which they take, and the
/// endpoint shall not read another than the edits did.
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
