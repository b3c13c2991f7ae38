//! `plugin new` and `plugin build` without the gateway, for those who work on a kit:
//! `cargo run -p windlass-plugin-kits --example kit -- new js NAME`, and `-- build FOLDER`.

use std::error::Error;
use std::path::Path;

use windlass_plugin_kits::{Language, Mode, Plugin, build, create};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["new", language, name] => {
            let language = Language::of(language).ok_or("no kit for this language")?;
            println!("{}", create(Path::new("."), language, name)?.display());
        }
        ["build", folder] => show(folder, Mode::Release)?,
        ["dev", folder] => show(folder, Mode::Dev)?,
        _ => return Err("new LANGUAGE NAME, build FOLDER or dev FOLDER".into()),
    }
    Ok(())
}

fn show(folder: &str, mode: Mode) -> Result<(), Box<dyn Error>> {
    println!("{:?}", build(&Plugin::open(Path::new(folder))?, mode)?);
    Ok(())
}
