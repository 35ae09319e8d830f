//! Where settings come from: flags, the environment, a file `.env`.
//!
//! clap could read the environment itself, but then an empty variable would be a value, `.env` would have to be
//! written into the environment, and a complaint would name the flag only. So variables are handed to it as flags.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use crate::settings::Settings;

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, OsString>;

/// The settings whose values are not for error messages.
const SECRET: [&str; 4] = ["DATABASE_URL", "DB_PASSWORD", "DCM_API_KEYS", "WS_AUTH_SECRET"];

/// The settings of this process; `--help` and the like are answered here and end it.
pub(crate) fn settings() -> Result<Settings, String> {
    let file = read_file(Path::new(".env"));
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match parse(arguments, &process(), file) {
        Ok(settings) => Ok(settings),
        Err(Refused::Message(message)) => Err(message),
        Err(Refused::Clap(error)) => error.exit(),
    }
}

/// The environment of this process, without what is set to nothing.
pub(crate) fn process() -> Variables {
    std::env::vars_os()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .collect()
}

/// Why there are no settings.
#[derive(Debug)]
pub(crate) enum Refused {
    /// In our words.
    Message(String),
    /// In clap's: unknown flags, and what is asked for by `--help`.
    Clap(clap::Error),
}

/// Reads settings from flags, then variables, then the file.
pub(crate) fn parse(
    mut arguments: Vec<OsString>,
    variables: &Variables,
    file: Result<Variables, String>,
) -> Result<Settings, Refused> {
    let mut command = Settings::command().mut_args(|argument| argument.hide_env_values(true).global(true));
    let has = |words: &[&str]| {
        arguments
            .iter()
            .skip(1)
            .any(|argument| argument.to_str().is_some_and(|argument| words.contains(&argument)))
    };
    let is_help = has(&["--help", "-h", "help"]);
    // What needs no setting works with broken ones too.
    let needs_settings = !is_help && !has(&["--version", "-V", "openapi"]);
    let mut sources = BTreeMap::new();
    if needs_settings {
        let file = file.map_err(Refused::Message)?;
        let mut flags = Vec::new();
        for argument in command.get_arguments() {
            let (Some(long), Some(name)) = (argument.get_long(), argument.get_env().and_then(OsStr::to_str))
            else {
                continue;
            };
            if is_given(&arguments, long) {
                continue;
            }
            let not_empty = |value: &&OsString| !value.is_empty();
            let found = match variables.get(name).filter(not_empty) {
                Some(value) => Some((value, "")),
                None => file.get(name).filter(not_empty).map(|value| (value, " in .env")),
            };
            if let Some((value, place)) = found {
                let mut flag = OsString::from(format!("--{long}="));
                flag.push(value);
                flags.push(flag);
                sources.insert(long.to_owned(), format!("{name}{place}"));
            }
        }
        let after_name = arguments.len().min(1);
        arguments.splice(after_name..after_name, flags);
    }
    if !is_help {
        command = command.mut_args(|argument| argument.env(Resettable::Reset));
    }
    let names: BTreeMap<String, String> = Settings::command()
        .get_arguments()
        .filter_map(|argument| {
            Some((argument.get_long()?.to_owned(), argument.get_env()?.to_str()?.to_owned()))
        })
        .collect();
    let matches =
        command.try_get_matches_from(arguments).map_err(|error| in_words(error, &sources, &names))?;
    Settings::from_arg_matches(&matches).map_err(Refused::Clap)
}

/// Whether `--long` stands among the arguments.
fn is_given(arguments: &[OsString], long: &str) -> bool {
    arguments.iter().skip(1).filter_map(|argument| argument.to_str()?.strip_prefix("--")).any(|argument| {
        argument.strip_prefix(long).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// Names the variable, the value and what would be right.
fn in_words(
    error: clap::Error,
    sources: &BTreeMap<String, String>,
    names: &BTreeMap<String, String>,
) -> Refused {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::InvalidUtf8)
    {
        return Refused::Clap(error);
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let long = text(ContextKind::InvalidArg)
        .and_then(|argument| argument.strip_prefix("--"))
        .map(|argument| argument.split([' ', '=']).next().unwrap_or(argument));
    let Some((long, variable)) = long.and_then(|long| Some((long, names.get(long)?))) else {
        return Refused::Clap(error);
    };
    let place = sources
        .get(long)
        .map_or_else(|| format!("--{long} ({variable})"), |source| format!("{source} (--{long})"));
    let value = match text(ContextKind::InvalidValue) {
        _ if SECRET.contains(&variable.as_str()) => String::new(),
        Some(value) => format!(" is {value:?}, but"),
        None => String::new(),
    };
    let right =
        std::error::Error::source(&error).map_or_else(|| "needs a value".to_owned(), ToString::to_string);
    Refused::Message(format!("{place}{value} {right}"))
}

/// Reads `.env`; there need not be one.
pub(crate) fn read_file(path: &Path) -> Result<Variables, String> {
    // A directory of that name is something else (a Python environment).
    if !path.is_file() {
        return Ok(Variables::new());
    }
    let cannot = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let lines = dotenvy::from_path_iter(path).map_err(|error| cannot(&error))?;
    let mut variables = Variables::new();
    for line in lines {
        match line {
            Ok((name, value)) => {
                // The first of a name counts, as with the environment itself.
                variables.entry(name).or_insert_with(|| value.into());
            }
            Err(dotenvy::Error::LineParse(line, _)) => {
                let number = std::fs::read_to_string(path)
                    .ok()
                    .and_then(|text| text.lines().position(|known| known.trim() == line.trim()));
                let place = number.map_or_else(String::new, |number| format!(" line {}", number + 1));
                // What stands after the name may be a secret.
                let start = line.split(['=', ' ', ':']).next().unwrap_or_default();
                return Err(format!(
                    "{}{place} ({start:?} …) is not NAME=value; quote a value that has spaces, as in NAME=\"a b\"",
                    path.display()
                ));
            }
            Err(error) => return Err(cannot(&error)),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect()
    }

    fn parsed(
        arguments: &[&str],
        environment: &[(&str, &str)],
        file: &[(&str, &str)],
    ) -> Result<Settings, String> {
        let arguments =
            std::iter::once("dcm-server").chain(arguments.iter().copied()).map(OsString::from).collect();
        parse(arguments, &variables(environment), Ok(variables(file))).map_err(|refused| match refused {
            Refused::Message(message) => message,
            Refused::Clap(error) => error.to_string(),
        })
    }

    #[test]
    fn flags_then_environment_then_file() {
        let settings = parsed(
            &["--port", "1"],
            &[("PORT", "2"), ("WS_PORT", "3"), ("DASHBOARD_PORT", "")],
            &[
                ("PORT", "4"),
                ("WS_PORT", "5"),
                ("DASHBOARD_PORT", "6"),
                ("HOST", "localhost"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        let listen = settings.listen;
        assert_eq!((listen.port, listen.ws_port, listen.dashboard_port), (1, 3, 6));
        assert_eq!(listen.host, "localhost");
        let settings = parsed(&["healthcheck", "--port", "1"], &[("WS_PORT", "3")], &[]).unwrap();
        assert_eq!((settings.listen.port, settings.listen.ws_port), (1, 3));
    }

    #[test]
    fn defaults() {
        let settings = parsed(&[], &[], &[]).unwrap();
        assert_eq!(settings.listen.host, "127.0.0.1");
        assert_eq!(
            (settings.listen.port, settings.listen.ws_port, settings.listen.dashboard_port),
            (3847, 3849, 3848)
        );
        assert_eq!(settings.store.db_max_connections, 10);
        assert_eq!(settings.upkeep.message_ttl_ms, 3_600_000);
        assert_eq!(settings.upkeep.healthcheck_interval_ms, 30_000);
        assert_eq!(settings.store.max_db_retries, 3);
    }

    #[test]
    fn a_complaint_names_variable_value_and_fix() {
        let error = parsed(&[], &[("PORT", "abc")], &[]).unwrap_err();
        assert!(error.starts_with("PORT (--port) is \"abc\", but must be a port"), "{error}");
        let error = parsed(&[], &[], &[("MAX_DB_RETRIES", "-1")]).unwrap_err();
        assert_eq!(
            error,
            "MAX_DB_RETRIES in .env (--max-db-retries) is \"-1\", but must be a whole number from 0 to 100"
        );
        let error = parsed(&["--message-ttl-ms=1h"], &[("MESSAGE_TTL_MS", "1")], &[]).unwrap_err();
        assert!(error.starts_with("--message-ttl-ms (MESSAGE_TTL_MS) is \"1h\", but must be"), "{error}");
        let error = parsed(&[], &[("DCM_API_KEYS", "top secret")], &[]).unwrap_err();
        assert!(error.starts_with("DCM_API_KEYS (--api-keys) must be keys"), "{error}");
        assert!(!error.contains("top"));
        let error = parsed(&["--only", "all"], &[], &[]).unwrap_err();
        assert!(error.contains("must be api, ws or dashboard"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = [
            ("DB_PASSWORD", "hush1"),
            ("WS_AUTH_SECRET", "hush2"),
            ("DATABASE_URL", "hush3"),
            ("DCM_API_KEYS", "hush4"),
        ];
        let settings = parsed(&[], &secrets, &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn every_setting_is_flag_and_variable() {
        for argument in Settings::command().get_arguments() {
            assert!(argument.get_long().is_some() && argument.get_env().is_some(), "{}", argument.get_id());
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
    }

    #[test]
    fn the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        assert!(read_file(&path).unwrap().is_empty());
        std::fs::write(&path, "# comment\nPORT=5\nexport WS_PORT='6'\n\nDB_PASSWORD=\"a b#c\"\n").unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!(
            (read["PORT"].to_str(), read["WS_PORT"].to_str(), read["DB_PASSWORD"].to_str()),
            (Some("5"), Some("6"), Some("a b#c"))
        );
        std::fs::write(&path, "PORT=5\nDB_PASSWORD secret\n").unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("DB_PASSWORD") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn the_example_file_names_every_variable_and_is_right() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.env.example");
        let text = std::fs::read_to_string(example).unwrap();
        // `#NAME=value` is a setting, `# words` are a comment.
        let settings =
            || text.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' '));
        let named: Vec<_> =
            settings().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        let mut known: Vec<_> = Settings::command()
            .get_arguments()
            .map(|a| a.get_env().unwrap().to_str().unwrap().to_owned())
            .collect();
        for name in &named {
            assert!(known.iter().any(|known| known == name), "{name} is no setting");
        }
        known.retain(|known| !named.contains(&known.as_str()));
        assert!(known.is_empty(), "not in .env.example: {known:?}");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, settings().collect::<Vec<_>>().join("\n")).unwrap();
        assert!(parse(vec!["dcm-server".into()], &Variables::new(), read_file(&path)).is_ok());
    }
}
