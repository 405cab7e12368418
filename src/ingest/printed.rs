//! Texts that a program printed of an object, where it should have sent what is in it: PowerShell's
//! `ConvertTo-Json` does that below its depth, templates and string functions do it everywhere.

/// Names of types as .NET prints them begin so.
const DOTNET: &str = "System.";

/// Whether a text is what a program prints of an object as such.
pub fn is_object(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'S') => is_dotnet_type(text),
        Some(b'@') => text.starts_with("@{") && text.ends_with('}'),
        // JavaScript; arrays of Java.
        Some(b'[') => {
            text.starts_with("[object ") && text.ends_with(']')
                || text.starts_with("[L") && text.contains(";@")
        }
        // Python, Ruby.
        Some(b'<') => text.ends_with('>') && text.contains(" at 0x"),
        Some(b'#') => text.starts_with("#<") && text.ends_with('>'),
        _ => false,
    }
}

/// Whether it is that, or what a program prints of a list or a map: in a text that is meant for people
/// these may stand, a path is none of them.
pub fn is_no_path(text: &str) -> bool {
    let between = |begin: &str, end: char| text.starts_with(begin) && text.ends_with(end);
    is_object(text)
        || [("{\"", '}'), ("{'", '}'), ("[\"", ']'), ("['", ']'), ("map[", ']')]
            .iter()
            .any(|(begin, end)| between(begin, *end))
}

/// `System.Collections.Hashtable`, `System.Object[]`, and not the file `System.Collections.dll`: a
/// type's name begins with a capital letter.
fn is_dotnet_type(text: &str) -> bool {
    let Some(name) = text.strip_prefix(DOTNET) else { return false };
    let last = name.rsplit('.').next().unwrap_or_default();
    last.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_print_of_objects_is_told_from_paths() {
        for text in [
            "System.Collections.Hashtable",
            "System.Collections.Specialized.OrderedDictionary",
            "System.Collections.Generic.List`1[System.Object]",
            "System.Object[]",
            "System.Object",
            "System.Management.Automation.PSCustomObject",
            "@{path=/etc/rsyslog.conf; kind=modified}",
            "[object Object]",
            "[Ljava.lang.String;@1b6d3586",
            "<__main__.File object at 0x7f3a5c0d1e50>",
            "#<File:0x000078e1>",
        ] {
            assert!(is_object(text) && is_no_path(text), "{text}");
        }
        for text in
            ["{\"path\":\"/a\"}", "{'path': '/a'}", "['/a', '/b']", "[\"/a\"]", "map[path:/a]"]
        {
            assert!(is_no_path(text) && !is_object(text), "{text}");
        }
        for text in [
            "",
            "/etc/rsyslog.conf",
            "System.Collections.dll",
            "System.map-5.10",
            "System.",
            "System",
            "src/System.Object",
            "System.Web/Views",
            "@scope/package",
            "@{",
            "[id].tsx",
            "[object",
            "<none>",
            "#readme",
            "{{ file }}",
            "map[",
            "systemd.System",
            "{a,b}",
            "[a-z].conf",
        ] {
            assert!(!is_object(text) && !is_no_path(text), "{text}");
        }
    }
}
