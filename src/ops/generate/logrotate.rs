//! logrotate for figw's log file.

use super::{GenerateError, GeneratedFile, one_line, template::fill};
use crate::config::Config;

/// What logrotate is to be told.
#[derive(Debug, Clone)]
pub struct Logrotate {
    /// Whose file it is.
    pub user: String,
}

impl Logrotate {
    /// Renders the file for `/etc/logrotate.d`.
    ///
    /// # Errors
    /// When there is no log file, or logrotate cannot be given its path.
    pub fn render(&self, config: &Config) -> Result<GeneratedFile, GenerateError> {
        let logging = &config.logging;
        let Some(file) = logging.own_file() else {
            return Err(GenerateError::new(
                "logging.file names no file: figw writes to standard error or output, and the journal \
                 rotates by itself; set logging.file to have a file",
            ));
        };
        if file.is_relative() {
            return Err(GenerateError::new("logging.file must be an absolute path for logrotate"));
        }
        let text = file
            .to_str()
            .filter(|text| !text.contains(['"', '*', '?', '[', '{', '\\']))
            .ok_or_else(|| {
                GenerateError::new(format!(
                    "logging.file: logrotate cannot be given {}; it takes some characters for patterns",
                    file.display()
                ))
            })?;
        let quoted = format!("\"{}\"", one_line("logging.file", text)?);
        let (keep, size) = (logging.keep.to_string(), logging.max_bytes.to_string());
        let values =
            [("file", quoted.as_str()), ("keep", &keep), ("size", &size), ("user", &self.user)];
        let content = fill(include_str!("templates/logrotate.conf"), &values);
        Ok(GeneratedFile::new("figw", content))
    }
}
