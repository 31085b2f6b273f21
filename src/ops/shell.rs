//! Words for `/bin/sh`.

/// The word as the shell must be given it: as it is when nothing in it is special.
#[must_use]
pub fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:=@,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_shell_sees_the_word_itself() {
        for word in ["plain", "/etc/figw/config.yaml", "", "a b", "it's", "$HOME;`id`", "50%\n*"] {
            let script = format!("printf %s. {}", quote(word));
            let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{word}."));
        }
        assert_eq!(quote("/etc/figw/config.yaml"), "/etc/figw/config.yaml");
    }
}
