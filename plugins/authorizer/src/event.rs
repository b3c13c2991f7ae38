//! Makes the events that API Gateway sends to authorizers from a request.

use windlass_plugin_sdk::path::decode_query;
use windlass_plugin_sdk::{Json, Request, json};

/// The settings for the parts of an event that are not in every request.
#[derive(Debug, Default)]
pub struct EventSettings {
    /// The path parameters to include.
    pub path_parameters: Vec<String>,
    /// The stage variables to include.
    pub variables: Vec<String>,
    pub account: String,
}

/// The facts that the gateway has about the request.
#[derive(Debug)]
pub struct Facts {
    pub method: String,
    /// The path without the query.
    pub path: String,
    pub query: Option<String>,
    pub api: String,
    pub stage: String,
    pub route: String,
    pub arn: String,
}

type Object = serde_json::Map<String, Json>;

/// `TOKEN`.
pub fn token(token: &str, facts: &Facts) -> Json {
    json!({ "type": "TOKEN", "authorizationToken": token, "methodArn": facts.arn })
}

/// `REQUEST` of format 1.0.
pub fn request_1(
    identity: &[String],
    facts: &Facts,
    request: &Request,
    with: &EventSettings,
) -> Json {
    let (mut headers, mut all_headers) = (Object::new(), Object::new());
    for (name, value) in fields(request) {
        // As in API Gateway, the last of several values counts.
        headers.insert(name.clone(), value.clone().into());
        append(&mut all_headers, name, value);
    }
    let (mut query, mut all_query) = (Object::new(), Object::new());
    for (name, value) in pairs(facts.query.as_deref()) {
        query.insert(name.clone(), value.clone().into());
        append(&mut all_query, name, value);
    }
    let attributes = request.attributes();
    let (time, at) = time(request);
    json!({
        "version": "1.0",
        "type": "REQUEST",
        "methodArn": facts.arn,
        "identitySource": identity.join(","),
        "authorizationToken": identity.first(),
        "resource": facts.route,
        "path": facts.path,
        "httpMethod": facts.method,
        "headers": headers,
        "multiValueHeaders": all_headers,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": all_query,
        "pathParameters": path_parameters(request, with),
        "stageVariables": variables(request, with),
        "requestContext": {
            "accountId": with.account,
            "apiId": facts.api,
            "stage": facts.stage,
            "requestId": attributes.text("request.id"),
            "resourcePath": facts.route,
            "path": facts.path,
            "httpMethod": facts.method,
            "domainName": request.authority(),
            "requestTime": time,
            "requestTimeEpoch": at,
            "identity": {
                "sourceIp": attributes.text("client.ip"),
                "userAgent": request.header_text("user-agent"),
            },
        },
    })
}

/// `REQUEST` of format 2.0.
pub fn request_2(
    identity: &[String],
    facts: &Facts,
    request: &Request,
    with: &EventSettings,
) -> Json {
    let mut headers = Object::new();
    let mut cookies = Vec::new();
    for (name, value) in fields(request) {
        if name == "cookie" {
            cookies.extend(value.split(';').map(|one| one.trim().to_owned()));
        } else {
            join(&mut headers, name, &value);
        }
    }
    let mut query = Object::new();
    for (name, value) in pairs(facts.query.as_deref()) {
        join(&mut query, name, &value);
    }
    let attributes = request.attributes();
    let (time, at) = time(request);
    json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": facts.arn,
        "identitySource": identity,
        "routeKey": facts.route,
        "rawPath": facts.path,
        "rawQueryString": facts.query.as_deref().unwrap_or_default(),
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": query,
        "pathParameters": path_parameters(request, with),
        "stageVariables": variables(request, with),
        "requestContext": {
            "accountId": with.account,
            "apiId": facts.api,
            "stage": facts.stage,
            "domainName": request.authority(),
            "requestId": attributes.text("request.id"),
            "routeKey": facts.route,
            "time": time,
            "timeEpoch": at,
            "http": {
                "method": facts.method,
                "path": facts.path,
                "sourceIp": attributes.text("client.ip"),
                "userAgent": request.header_text("user-agent"),
            },
        },
    })
}

fn fields(request: &Request) -> Vec<(String, String)> {
    let fields = request.headers();
    let fields = fields
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    fields.collect()
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let pairs = query.unwrap_or_default().split('&');
    pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |part| String::from_utf8_lossy(&decode_query(part)).into_owned();
        (text(name), text(value))
    })
}

fn append(to: &mut Object, name: String, value: String) {
    if let Some(Json::Array(list)) = to.get_mut(&name) {
        list.push(value.into());
    } else {
        to.insert(name, json!([value]));
    }
}

/// Format 2.0 joins several values of one name with commas.
fn join(to: &mut Object, name: String, value: &str) {
    if let Some(Json::String(known)) = to.get_mut(&name) {
        known.push(',');
        known.push_str(value);
    } else {
        to.insert(name, value.into());
    }
}

fn path_parameters(request: &Request, with: &EventSettings) -> Object {
    let names = with.path_parameters.iter();
    let found = names.filter_map(|name| Some((name.clone(), request.path_param(name)?.into())));
    found.collect()
}

fn variables(request: &Request, with: &EventSettings) -> Object {
    let attributes = request.attributes();
    let names = with.variables.iter();
    let found = names.filter_map(|name| {
        let value = attributes.text(&format!("api.variable.{name}"))?;
        Some((name.clone(), value.into()))
    });
    found.collect()
}

/// The arrival time of the request: in API Gateway's format, and in milliseconds since 1970. It stays the same while
/// the request waits, so that repeated calls have the same event.
fn time(request: &Request) -> (String, i64) {
    let at = request
        .attributes()
        .number("request.time-ms")
        .unwrap_or_default();
    (written(at), at)
}

/// `12/Mar/2020:19:03:58 +0000`.
fn written(at_ms: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = at_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 2
    } else {
        shifted_month - 10
    };
    let year = year_of_era + era * 400 + i64::from(month < 2);
    let month = usize::try_from(month)
        .ok()
        .and_then(|month| MONTHS.get(month));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let month = month.copied().unwrap_or_default();
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_amazon_writes_it() {
        assert_eq!(written(0), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(written(1_583_348_638_390), "04/Mar/2020:19:03:58 +0000");
        assert_eq!(written(1_709_251_199_999), "29/Feb/2024:23:59:59 +0000");
        assert_eq!(written(4_102_444_799_000), "31/Dec/2099:23:59:59 +0000");
    }

    #[test]
    fn a_query_is_taken_apart_and_names_that_come_twice_are_joined() {
        let all: Vec<_> = pairs(Some("a=1&b&a=%20+x&&=c")).collect();
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            all,
            [
                owned("a", "1"),
                owned("b", ""),
                owned("a", "  x"),
                owned("", "c")
            ]
        );
        let mut joined = Object::new();
        for (name, value) in all {
            join(&mut joined, name, &value);
        }
        assert_eq!(
            Json::from(joined),
            json!({ "a": "1,  x", "b": "", "": "c" })
        );
    }
}
