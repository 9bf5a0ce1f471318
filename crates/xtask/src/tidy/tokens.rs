//! What a Rust file says, read from its tokens: macro bodies count like any other code, and
//! comments and strings are never mistaken for it.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Something that a file says and that a check may mind. Lines count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A function with a body of so many lines with code on them.
    Function { name: String, line: usize, code_lines: usize },
    /// A module, inline or in a file of its own.
    Module { name: String, line: usize },
    /// A tracing event with the format string of its message.
    Log { message: String, line: usize },
    /// `todo!`, `unimplemented!` or `dbg!`.
    Unfinished { name: String, line: usize },
    /// A sleep in a test, or one that blocks its thread.
    Sleep { line: usize },
    /// A `select!` that polls its branches in random order.
    RandomSelect { line: usize },
}

/// The facts in `source`, in order. With `all_tests`, the whole file counts as test code.
///
/// Fails if the source cannot be split into tokens.
pub(crate) fn facts(source: &str, all_tests: bool) -> Result<Vec<Fact>> {
    let stream: TokenStream = source.parse().map_err(|error| anyhow!("{error}"))?;
    let mut facts = Vec::new();
    scan(stream, all_tests, &mut facts);
    Ok(facts)
}

fn scan(stream: TokenStream, in_tests: bool, facts: &mut Vec<Fact>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut next_body_is_tests = false;
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Ident(ident) => {
                let (before, after) = (&trees[..at], &trees[at + 1..]);
                facts.extend(fact_at(&ident.to_string(), line_of(tree), before, after, in_tests));
            }
            TokenTree::Group(group) => {
                next_body_is_tests |= is_test_attribute(group);
                let body = group.delimiter() == Delimiter::Brace;
                scan(group.stream(), in_tests || (body && next_body_is_tests), facts);
                next_body_is_tests &= !body;
            }
            TokenTree::Punct(punct) => next_body_is_tests &= punct.as_char() != ';',
            TokenTree::Literal(_) => {}
        }
    }
}

fn fact_at(
    word: &str,
    line: usize,
    before: &[TokenTree],
    after: &[TokenTree],
    in_tests: bool,
) -> Option<Fact> {
    match word {
        "fn" => function(line, after),
        "mod" => match after.first() {
            Some(TokenTree::Ident(name)) => Some(Fact::Module { name: name.to_string(), line }),
            _ => None,
        },
        "todo" | "unimplemented" | "dbg" => {
            macro_arguments(after).map(|_| Fact::Unfinished { name: word.to_owned(), line })
        }
        "trace" | "debug" | "info" | "warn" | "error" => {
            let message = log_message(macro_arguments(after)?)?;
            Some(Fact::Log { message, line })
        }
        "sleep" | "sleep_until" => {
            let free_function = !ends_with(before, &["."]) && !ends_with(before, &["fn"]);
            let blocks = ends_with(before, &["thread", ":", ":"]);
            (blocks || (in_tests && free_function)).then_some(Fact::Sleep { line })
        }
        "select" => {
            let first = macro_arguments(after)?.stream().into_iter().next();
            let biased = first.is_some_and(|first| first.to_string() == "biased");
            (!biased).then_some(Fact::RandomSelect { line })
        }
        _ => None,
    }
}

fn function(line: usize, after: &[TokenTree]) -> Option<Fact> {
    let Some(TokenTree::Ident(name)) = after.first() else { return None };
    let body =
        after.iter().take_while(|tree| !is_punct(tree, ';')).find_map(|tree| match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        })?;
    let mut lines = BTreeSet::new();
    add_lines(body.stream(), &mut lines);
    Some(Fact::Function { name: name.to_string(), line, code_lines: lines.len() })
}

fn add_lines(stream: TokenStream, lines: &mut BTreeSet<usize>) {
    for tree in stream {
        if let TokenTree::Group(group) = &tree {
            lines.insert(group.span_open().start().line);
            lines.insert(group.span_close().start().line);
            add_lines(group.stream(), lines);
        } else {
            lines.extend(tree.span().start().line..=tree.span().end().line);
        }
    }
}

/// The arguments of a macro call, if `!` and a group follow its name.
fn macro_arguments(after: &[TokenTree]) -> Option<&Group> {
    match after {
        [bang, TokenTree::Group(arguments), ..] if is_punct(bang, '!') => Some(arguments),
        _ => None,
    }
}

/// The first string that stands alone between commas: fields have a name before theirs.
fn log_message(arguments: &Group) -> Option<String> {
    let trees: Vec<TokenTree> = arguments.stream().into_iter().collect();
    trees.iter().enumerate().find_map(|(at, tree)| match tree {
        TokenTree::Literal(literal) if at == 0 || is_punct(&trees[at - 1], ',') => {
            let text = literal.to_string();
            let quoted = text.trim_start_matches(['r', '#']).trim_end_matches('#');
            Some(quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned())
        }
        _ => None,
    })
}

fn is_test_attribute(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket
        && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

fn ends_with(trees: &[TokenTree], expected: &[&str]) -> bool {
    trees.len() >= expected.len()
        && trees[trees.len() - expected.len()..]
            .iter()
            .zip(expected)
            .all(|(tree, expected)| tree.to_string() == *expected)
}

fn is_punct(tree: &TokenTree, character: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn line_of(tree: &TokenTree) -> usize {
    tree.span().start().line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_in_macros_and_impls_are_seen() {
        let source = "proptest! {\n fn inner(x in 0..9u8) {\n  f(x);\n }\n}\n\
                      impl X { fn method(&self) -> [u8; 2] { g(\n) } }\ntrait T { fn none(); }\n";
        let expected = [("inner", 2, 1), ("method", 6, 2)].map(|(name, line, code_lines)| {
            Fact::Function { name: name.to_owned(), line, code_lines }
        });
        assert_eq!(facts(source, false).unwrap(), expected);
    }

    #[test]
    fn a_string_counts_with_all_its_lines() {
        let found = facts("fn f() {\n\"a\nb\nc\"\n}\n", false).unwrap();
        let expected = Fact::Function { name: "f".to_owned(), line: 1, code_lines: 3 };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let source = "// todo!()\nconst X: &str = \"dbg!(1) thread::sleep\";\n";
        assert_eq!(facts(source, true).unwrap(), []);
    }

    #[test]
    fn the_message_is_told_from_fields_and_target() {
        let source = "fn f() { info!(target: \"A.\", kind = \"B.\", r#\"done\"#, \"C.\"); }";
        let found = facts(source, false).unwrap();
        assert!(found.contains(&Fact::Log { message: "done".to_owned(), line: 1 }), "{found:?}");
    }

    #[test]
    fn broken_source_is_an_error() {
        assert!(facts("fn f( {", false).is_err());
    }
}
