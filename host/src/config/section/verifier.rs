//! `[verifier.<name>]`: whose tokens are accepted.

mod keys;

use std::time::Duration;

use crate::config::field::{
    Choice, Empty, Entries, Field, Flag, Is, List, Optional, Parsed, Required, Scalar, Section,
    Size, Time,
};
use crate::config::model::{KeysFrom, RequiredClaim, Verifier};
use crate::config::read::Table;
use crate::config::value::name::line;

/// `[verifier.<name>]`.
pub(super) static VERIFIER: Section = Section {
    heading: "[verifier.<name>]",
    doc: "The issuers whose JSON Web Tokens are accepted, and the audiences that they must name. Exactly one of `jwks_url`, `discovery_url`, `jwks_file` and `secret`.",
    fields: &[
        &keys::JWKS_URL,
        &keys::DISCOVERY_URL,
        &keys::JWKS_FILE,
        &keys::SECRET,
        &ISSUERS,
        &AUDIENCES,
        &ANY_AUDIENCE,
        &ALGORITHMS,
        &TYPES,
        &SKEW,
        &REQUIRE_EXP,
        &MAX_AGE,
        &REQUIRED,
        &CERTIFICATE_BOUND,
        &CACHE,
        &keys::CA,
        &keys::ALLOW_HTTP,
        &keys::TIMEOUT,
        &keys::REFRESH,
        &keys::COOLDOWN,
        &keys::MAX_STALE,
        &keys::START_WITHOUT_KEYS,
    ],
    hints: &[
        ("jwks", "it is called `jwks_url`, or `jwks_file`"),
        ("jwks_uri", "it is called `jwks_url`"),
        ("issuer", "it is called `issuers`, a list"),
        ("audience", "it is called `audiences`, a list"),
        ("aud", "it is called `audiences`, a list"),
        (
            "client_id",
            "it is called `audiences`: `client_id` counts where a token has no `aud`",
        ),
        ("leeway", "it is called `skew`"),
        ("clock_skew", "it is called `skew`"),
        ("claims", "it is called `required`"),
        (
            "scopes",
            "a filter asks for scopes: `settings = { scopes = [\"..\"] }`",
        ),
        ("discovery", "it is called `discovery_url`"),
        ("cache_duration", "it is called `refresh`"),
    ],
    short: None,
    private: false,
};

const LINE: Parsed<String> = Parsed {
    words: "a text of one line",
    pattern: "",
    private: false,
    parse: |text, _| line(text),
};

const LINES: List<Parsed<String>> = List {
    of: LINE,
    least: 1,
    repeats: false,
};

static ISSUERS: Field<List<Parsed<String>>, Empty> = Field::new(
    "issuers",
    LINES,
    Empty("with `discovery_url` that of the document, else any"),
    "The values of `iss` that are accepted.",
);

static AUDIENCES: Field<List<Parsed<String>>, Empty> = Field::new(
    "audiences",
    LINES,
    Empty("then `any_audience = true` must be there"),
    "One of a token's `aud` must be one of these. If a token has no `aud`, its `client_id` counts.",
);

static ANY_AUDIENCE: Field<Flag, Is<bool>> = Field::new(
    "any_audience",
    Flag,
    Is(false),
    "Accept tokens for anybody: also those that the issuer made for another service.",
);

static ALGORITHMS: Field<List<Choice<&'static str>>, Empty> = Field::new(
    "algorithms",
    List {
        of: Choice {
            options: &[
                ("RS256", "RS256"),
                ("RS384", "RS384"),
                ("RS512", "RS512"),
                ("PS256", "PS256"),
                ("PS384", "PS384"),
                ("PS512", "PS512"),
                ("ES256", "ES256"),
                ("ES384", "ES384"),
                ("ES512", "ES512"),
                ("EdDSA", "EdDSA"),
                ("HS256", "HS256"),
                ("HS384", "HS384"),
                ("HS512", "HS512"),
            ],
            hints: &[
                ("none", "a token without a signature is never accepted"),
                ("Ed25519", "write `\"EdDSA\"`, which accepts both names"),
            ],
        },
        least: 1,
        repeats: false,
    },
    Empty("all but HMAC; with `secret` the HMAC ones"),
    "The values of `alg` that are accepted.",
);

static TYPES: Field<List<Parsed<String>>, Empty> = Field::new(
    "types",
    LINES,
    Empty("any, and none"),
    "The values of `typ` that are accepted, such as `\"at+jwt\"` (RFC 9068).",
);

static SKEW: Field<Time, Is<Duration>> = Field::new(
    "skew",
    Time {
        least: Duration::ZERO,
        most: Duration::from_mins(10),
    },
    Is(Duration::from_secs(30)),
    "How far the issuer's clock may be off, for `exp`, `nbf` and `iat`.",
);

static REQUIRE_EXP: Field<Flag, Is<bool>> = Field::new(
    "require_exp",
    Flag,
    Is(true),
    "Whether a token without `exp`, which never ends, is refused.",
);

static MAX_AGE: Field<Time, Optional> = Field::new(
    "max_age",
    Time {
        least: Duration::from_secs(1),
        most: Duration::from_hours(24 * 366),
    },
    Optional("no bound"),
    "The most that may have passed since `iat`, which a token must have then.",
);

static REQUIRED: Field<Entries<RequiredClaim>, Empty> = Field::new(
    "required",
    Entries {
        section: &REQUIRED_SECTION,
        least: 1,
        few: "leave it out where no claim is required",
        title: None,
        read: required,
    },
    Empty("none"),
    "Claims that a token must have.",
);

static CERTIFICATE_BOUND: Field<Flag, Is<bool>> = Field::new(
    "certificate_bound",
    Flag,
    Is(false),
    "Accept tokens that are bound to a client certificate (`cnf.x5t#S256`, RFC 8705) without a look at one: where a proxy before the gateway, or the endpoint, compares them.",
);

static CACHE: Field<Size<u64>, Is<u64>> = Field::new(
    "cache",
    Size {
        least: 0,
        most: 16 << 30,
        of: Some,
    },
    Is(16 << 20),
    "The most memory for verified tokens, which are kept so that the next request with one costs a look-up; `\"0B\"` keeps none.",
);

static REQUIRED_SECTION: Section = Section {
    heading: "required = [{ .. }]",
    doc: "A claim that a token must have: with any value but null, with one of several, or as a list that has one of several.",
    fields: &[&CLAIM, &ONE_OF, &CONTAINS],
    hints: &[
        ("name", "it is called `claim`"),
        ("value", "it is called `one_of`, a list"),
        (
            "values",
            "it is called `one_of`, or `contains` where the claim is a list",
        ),
        ("equals", "it is called `one_of`, a list"),
    ],
    short: Some("claim"),
    private: false,
};

static CLAIM: Field<Parsed<String>, Required> = Field::new(
    "claim",
    LINE,
    Required("\"groups\""),
    "Its name; with a `/` before it a JSON pointer (RFC 6901), such as `\"/realm_access/roles\"`.",
);

static ONE_OF: Field<List<Scalar>, Empty> = Field::new(
    "one_of",
    SCALARS,
    Empty("any value"),
    "Values, one of which it must be. `1` is not `\"1\"`.",
);

static CONTAINS: Field<List<Scalar>, Empty> = Field::new(
    "contains",
    SCALARS,
    Empty("it need not be a list"),
    "Values, one of which it must have; it must be a list.",
);

const SCALARS: List<Scalar> = List {
    of: Scalar,
    least: 1,
    repeats: false,
};

/// Reads one `[verifier.<name>]`.
pub(super) fn verifier(table: &mut Table<'_>) -> Option<Verifier> {
    let keys = keys::keys(table);
    let mut issuers = table.take(&ISSUERS);
    let audiences = audiences(table);
    let algorithms = algorithms(table, keys.as_ref());
    let types = table.take(&TYPES);
    let skew = table.take(&SKEW);
    let require_exp = table.take(&REQUIRE_EXP);
    let max_age = table.take(&MAX_AGE);
    let required = table.take(&REQUIRED);
    let certificate_bound = table.take(&CERTIFICATE_BOUND);
    let cache = table.take(&CACHE);
    if let Some(KeysFrom::Fetched(fetch)) = &keys
        && fetch.is_discovery
        && issuers.is_empty()
        && table.is_sound(ISSUERS.key)
    {
        issuers.extend(issuer(table, &fetch.url));
    }
    let of_others = match &keys {
        Some(KeysFrom::Fetched(fetch)) => !fetch.is_discovery,
        Some(KeysFrom::File(_)) => true,
        Some(KeysFrom::Secret(_)) | None => false,
    };
    if issuers.is_empty()
        && of_others
        && !table.has_meant(ISSUERS.key)
        && table.is_sound(ISSUERS.key)
    {
        let span = table.span();
        table
            .warning(
                span,
                "has no `issuers`: whatever its keys signed is accepted, for whichever issuer",
            )
            .help("add `issuers = [\"https://issuer.example\"]`, the `iss` of its tokens");
    }
    Some(Verifier {
        name: table.name(),
        keys: keys?,
        issuers,
        audiences,
        algorithms,
        types,
        skew,
        require_exp,
        max_age,
        required,
        certificate_bound,
        cache,
        span: table.span(),
    })
}

/// Reads for whom tokens must be: somebody decides that.
fn audiences(table: &mut Table<'_>) -> Option<Vec<String>> {
    let audiences = table.take(&AUDIENCES);
    let any = table.take(&ANY_AUDIENCE);
    if any && table.has(AUDIENCES.key) {
        let span = table.span_of(ANY_AUDIENCE.key);
        table
            .error(
                span,
                "has both `audiences` and `any_audience = true`, wanted exactly one",
            )
            .help("remove `any_audience`");
    }
    if !any
        && !table.has(AUDIENCES.key)
        && !table.has_meant(AUDIENCES.key)
        && !table.is_incomplete()
    {
        let span = table.span();
        table
            .error(span, "has no `audiences`: a token that the issuer made for another service would be accepted")
            .help("add `audiences = [\"<the aud or client_id of your API>\"]`, or `any_audience = true` where the issuer makes tokens for nobody else");
    }
    (!any).then_some(audiences)
}

/// Reads the algorithms; reports those that no key here can be for.
fn algorithms(table: &mut Table<'_>, keys: Option<&KeysFrom>) -> Vec<&'static str> {
    let algorithms = table.take(&ALGORITHMS);
    let span = table.span_of(ALGORITHMS.key);
    let is_secret = matches!(keys, Some(KeysFrom::Secret(_)));
    for name in algorithms.iter().filter(|_| keys.is_some()) {
        if name.starts_with("HS") != is_secret {
            let message = format!("`algorithms` holds `{name}`, which needs another kind of key");
            let help = match is_secret {
                true => {
                    "with `secret` tokens are signed by `\"HS256\"`, `\"HS384\"` or `\"HS512\"`"
                }
                false => "HMAC takes a `secret`, which is no public key",
            };
            table.error(span, &message).help(help);
        }
    }
    algorithms
}

/// The issuer of a discovery document, as its URL says it.
fn issuer(table: &mut Table<'_>, url: &str) -> Option<String> {
    let issuer = url.strip_suffix("/.well-known/openid-configuration");
    if issuer.is_none() && !table.is_incomplete() {
        let span = table.span_of(keys::DISCOVERY_URL.key);
        table
            .error(span, "has no `issuers`, and `discovery_url` does not say the issuer")
            .help("add `issuers = [\"https://issuer.example\"]`: only a URL that ends in `/.well-known/openid-configuration` says it");
    }
    issuer.map(str::to_owned)
}

fn required(table: &mut Table<'_>) -> Option<RequiredClaim> {
    let claim = table.take(&CLAIM);
    let one_of = table.take(&ONE_OF);
    let contains = table.take(&CONTAINS);
    if table.has(ONE_OF.key) && table.has(CONTAINS.key) {
        let span = table.span_of(CONTAINS.key);
        table
            .error(span, "has both `one_of` and `contains`, wanted one at most")
            .help("write two entries where both must hold");
    }
    Some(RequiredClaim {
        claim: claim?,
        one_of,
        contains,
    })
}
