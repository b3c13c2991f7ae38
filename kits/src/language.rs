//! The languages that have a kit.

use serde::Deserialize;

/// A language that has a kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Rust, on the plugin SDK.
    Rust,
    /// JavaScript on `QuickJS`.
    JavaScript,
    /// TypeScript on `QuickJS`.
    TypeScript,
    /// Python, by `componentize-py`.
    Python,
    /// Go.
    Go,
    /// C, by clang.
    C,
}

impl Language {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] = [
        Self::Rust,
        Self::JavaScript,
        Self::TypeScript,
        Self::Python,
        Self::Go,
        Self::C,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// The command that installs the tools of a new plugin into its folder, where the language has such a one.
    #[must_use]
    pub const fn setup(self) -> Option<&'static str> {
        match self {
            Self::JavaScript | Self::TypeScript => Some("npm install"),
            Self::Python => {
                Some("python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1")
            }
            Self::Rust | Self::Go | Self::C => None,
        }
    }

    /// The name in a sentence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Python => "Python",
            Self::Go => "Go",
            Self::C => "C",
        }
    }

    /// Other words for it, which an author may try on the command line.
    #[must_use]
    pub const fn other_words(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["rs"],
            Self::JavaScript => &["javascript"],
            Self::TypeScript => &["typescript"],
            Self::Python => &["py"],
            Self::Go => &["golang"],
            Self::C => &[],
        }
    }

    /// Its folder in `templates/`.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// Its folder in `sdk/`. Rust has none: `plugin-sdk` is its kit.
    pub(crate) const fn kit(self) -> &'static str {
        match self {
            Self::TypeScript => Self::JavaScript.folder(),
            _ => self.folder(),
        }
    }

    /// The language of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.word() == word)
    }
}
