//! Texts with gaps.

/// Fills each `{{gap}}` of the template.
///
/// A gap that has a line to itself takes as many lines as its value has, each as far in as the gap
/// is; none at all when the value is empty.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let value_of =
        |gap: &str| values.iter().find(|(name, _)| *name == gap).map(|(_, value)| *value);
    let mut text = String::with_capacity(template.len());
    for line in template.lines() {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let alone = rest.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        if let Some(value) = alone.and_then(value_of) {
            for part in value.lines() {
                let part = if part.is_empty() { String::new() } else { format!("{indent}{part}") };
                text.push_str(&part);
                text.push('\n');
            }
            continue;
        }
        text.push_str(&in_line(line, value_of));
        text.push('\n');
    }
    text
}

/// A value of several lines.
pub(super) fn lines(each: impl IntoIterator<Item = String>) -> String {
    each.into_iter().collect::<Vec<_>>().join("\n")
}

fn in_line<'a>(line: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let filled = after.split_once("}}").and_then(|(gap, after)| Some((value_of(gap)?, after)));
        debug_assert!(filled.is_some(), "a gap without a value: {line}");
        let Some((value, after)) = filled else { break };
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_alone_takes_its_lines_with_it() {
        let template = "a {{one}} b {{two}}\n  {{many}}\n{{none}}\nend\n";
        let values = [("one", "1"), ("two", "2"), ("many", "x\n\n y"), ("none", "")];
        assert_eq!(fill(template, &values), "a 1 b 2\n  x\n\n   y\nend\n");
    }

    #[test]
    fn what_a_value_holds_is_no_gap() {
        assert_eq!(fill("x{{a}}\n{{b}}\n", &[("a", "{{b}}"), ("b", "{{a}}")]), "x{{b}}\n{{a}}\n");
    }
}
