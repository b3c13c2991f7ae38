//! Lets only listed teams pass, and counts the bytes of their request bodies.

use windlass_plugin_sdk::prelude::*;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Teams {
    #[serde(default = "default_header")]
    header: String,
    allow: Vec<String>,
}

fn default_header() -> String {
    "x-team".to_owned()
}

impl Filter for Teams {
    type Settings = Self;
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Self) -> Result<(Self, Setup), Vec<Diagnostic>> {
        if settings.allow.is_empty() {
            return Err(vec![Diagnostic::new("/allow", "name at least one team")]);
        }
        Ok((settings, Setup::new()))
    }
}

impl OnRequest for Teams {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let Some(team) = request.header_text(&self.header) else {
            return Ok(LocalResponse::new(401, "team_missing").into());
        };
        if !self.allow.contains(&team) {
            host::log::info("the team is not in `allow`", &[("team", &team)]);
            return Ok(LocalResponse::new(403, "team_unknown").into());
        }
        request.set_header("x-checked-by", "{{name}}")?;
        Ok(RequestVerdict::Next(BodyMode::Chunks))
    }
}

impl OnRequestBody for Teams {
    fn on_request_body(
        &self,
        request: &mut Request,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure> {
        let before = request.notes().get("bytes").and_then(|note| number(&note));
        let bytes = before.unwrap_or(0) + piece.len();
        request.notes().set("bytes", bytes.to_string())?;
        Ok(ChunkVerdict::Next)
    }
}

impl OnResponse for Teams {
    fn on_response(&self, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        if let Some(bytes) = response.notes().get("bytes") {
            response.set_header("x-request-bytes", bytes)?;
        }
        Ok(ResponseVerdict::NEXT)
    }
}

fn number(note: &[u8]) -> Option<u64> {
    core::str::from_utf8(note).ok()?.parse().ok()
}

export!(Teams: request, request_body, response);

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(settings: &str) -> Result<Teams, Vec<Diagnostic>> {
        let settings = windlass_plugin_sdk::parse_settings(settings)?;
        Teams::configure(settings).map(|(filter, _)| filter)
    }

    #[test]
    fn the_field_has_a_default() {
        let filter = configured(r#"{ "allow": ["blue"] }"#).unwrap();
        assert_eq!(filter.header, "x-team");
    }

    #[test]
    fn an_empty_list_is_an_error_at_its_place() {
        let errors = configured(r#"{ "allow": [] }"#).unwrap_err();
        assert_eq!(errors[0].at, "/allow");
    }

    #[test]
    fn notes_are_numbers() {
        assert_eq!(number(b"12"), Some(12));
        assert_eq!(number(b"x"), None);
    }
}
