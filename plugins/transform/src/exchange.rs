//! The data that edits read and change: the current exchange, or a fake one in tests.

use windlass_plugin_sdk::{AttributeValue, EditError, RawParam, Request, Response};

use crate::template::Fact;

/// The exchange in one direction: headers and status belong to the message that is being edited.
pub trait Exchange {
    /// A value as bytes. `None` if it is absent.
    fn fact(&self, fact: &Fact) -> Option<Vec<u8>>;
    /// The value that the route's pattern bound to a name, still encoded.
    fn raw_path_param(&self, name: &str) -> Option<RawParam>;
    /// The first value of a query parameter, still encoded.
    fn raw_query_param(&self, name: &str) -> Option<RawParam>;
    /// Every value of a header.
    fn header_all(&self, name: &str) -> Vec<Vec<u8>>;
    /// Replaces all values of a header.
    fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError>;
    /// Adds a value to a header.
    fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError>;
    /// Removes a header.
    fn remove_header(&mut self, name: &str) -> Result<(), EditError>;
    /// The path and the query of the request.
    fn path(&self) -> String;
    /// Changes the path and the query; only for requests.
    fn set_path(&mut self, path: &str) -> Result<(), EditError>;
    /// Changes the status; only for responses.
    fn set_status(&mut self, status: u16) -> Result<(), EditError>;
}

pub struct RequestEdits<'a>(pub &'a mut Request);

pub struct ResponseEdits<'a>(pub &'a mut Response);

impl Exchange for RequestEdits<'_> {
    fn fact(&self, fact: &Fact) -> Option<Vec<u8>> {
        request_fact(self.0, fact)
    }

    fn raw_path_param(&self, name: &str) -> Option<RawParam> {
        self.0.raw_path_param(name)
    }

    fn raw_query_param(&self, name: &str) -> Option<RawParam> {
        self.0.raw_query_param(name)
    }

    fn header_all(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_all(name)
    }

    fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.0.set_header(name, value)
    }

    fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.0.append_header(name, value)
    }

    fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.0.remove_header(name).map(drop)
    }

    fn path(&self) -> String {
        self.0.path()
    }

    fn set_path(&mut self, path: &str) -> Result<(), EditError> {
        self.0.set_path(path)
    }

    fn set_status(&mut self, _: u16) -> Result<(), EditError> {
        Err(EditError::TooLate)
    }
}

impl Exchange for ResponseEdits<'_> {
    fn fact(&self, fact: &Fact) -> Option<Vec<u8>> {
        match fact {
            Fact::ResponseHeader(name) => self.0.header(name),
            Fact::RequestMethod
            | Fact::RequestPath
            | Fact::RequestHeader(_)
            | Fact::RequestQuery(_)
            | Fact::PathParameter { .. }
            | Fact::Body(_)
            | Fact::Attribute { .. } => request_fact(self.0.request(), fact),
        }
    }

    fn raw_path_param(&self, name: &str) -> Option<RawParam> {
        self.0.request().raw_path_param(name)
    }

    fn raw_query_param(&self, name: &str) -> Option<RawParam> {
        self.0.request().raw_query_param(name)
    }

    fn header_all(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_all(name)
    }

    fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.0.set_header(name, value)
    }

    fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.0.append_header(name, value)
    }

    fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.0.remove_header(name).map(drop)
    }

    fn path(&self) -> String {
        self.0.request().path()
    }

    fn set_path(&mut self, _: &str) -> Result<(), EditError> {
        Err(EditError::TooLate)
    }

    fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        self.0.set_status(status)
    }
}

fn request_fact(request: &Request, fact: &Fact) -> Option<Vec<u8>> {
    match fact {
        Fact::RequestMethod => Some(request.method().into_bytes()),
        Fact::RequestPath => Some(request.path_and_query().path().as_bytes().to_vec()),
        Fact::RequestHeader(name) => request.header(name),
        Fact::RequestQuery(name) => request.query_param(name).map(String::into_bytes),
        // The code that makes the edits holds the body.
        Fact::ResponseHeader(_) | Fact::Body(_) => None,
        Fact::PathParameter { name, .. } => request.path_param(name).map(String::into_bytes),
        Fact::Attribute { name, .. } => request.attributes().get(name).map(attribute_bytes),
    }
}

fn attribute_bytes(value: AttributeValue) -> Vec<u8> {
    match value {
        AttributeValue::Text(text) => text.into_bytes(),
        AttributeValue::Number(number) => number.to_string().into_bytes(),
        AttributeValue::Flag(flag) => if flag { "true" } else { "false" }.as_bytes().to_vec(),
        AttributeValue::Bytes(bytes) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_of_each_type_has_a_text() {
        assert_eq!(
            attribute_bytes(AttributeValue::Text("acme".into())),
            b"acme"
        );
        assert_eq!(attribute_bytes(AttributeValue::Number(-7)), b"-7");
        assert_eq!(attribute_bytes(AttributeValue::Flag(true)), b"true");
        assert_eq!(attribute_bytes(AttributeValue::Bytes(vec![0xff])), [0xff]);
    }
}
