//! Every error code has a page that tells its reader what to do, and every page has its code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use regex::Regex;

use crate::report::Findings;

/// The one registry of error codes.
const REGISTRY: &str = "crates/domain/src/problem.rs";
const PAGES: &str = "docs/errors";
const INDEX: &str = "docs/errors/README.md";
const SECTIONS: [&str; 2] = ["## What happened", "## What to do"];

/// Compares the registry with the pages. With `bless`, the index of the pages is written anew.
pub(crate) fn check(root: &Path, bless: bool) -> Result<Findings> {
    let registry = std::fs::read_to_string(root.join(REGISTRY))
        .with_context(|| format!("cannot read the registry of error codes, {REGISTRY}"))?;
    let codes = codes(&registry)?;
    let pages = read_pages(&root.join(PAGES))?;
    let mut findings = compare(&codes, &pages);

    let expected = index(&pages);
    if bless {
        std::fs::create_dir_all(root.join(PAGES))?;
        std::fs::write(root.join(INDEX), &expected)
            .with_context(|| format!("cannot write {INDEX}"))?;
    }
    if std::fs::read_to_string(root.join(INDEX)).unwrap_or_default() != expected {
        findings.add(format!("{INDEX} is out of date: cargo xtask errors --bless"));
    }
    Ok(findings)
}

/// The codes in the registry's source: its string literals in SCREAMING_SNAKE_CASE.
fn codes(source: &str) -> Result<BTreeSet<String>> {
    let product_code = source.split("#[cfg(test)]").next().unwrap_or(source);
    let literal = Regex::new(r#""([A-Z][A-Z0-9_]+)""#)?;
    Ok(literal.captures_iter(product_code).map(|found| found[1].to_owned()).collect())
}

/// The pages' text by code, the index left out.
fn read_pages(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(pages);
    }
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(code) = name.strip_suffix(".md").filter(|_| name != "README.md") else { continue };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        pages.insert(code.to_owned(), text);
    }
    Ok(pages)
}

fn compare(codes: &BTreeSet<String>, pages: &BTreeMap<String, String>) -> Findings {
    let mut findings = Findings::default();
    if codes.is_empty() {
        findings.add(format!("{REGISTRY} holds no code: it should have lines like `=> \"CODE\"`"));
    }
    for code in codes.iter().filter(|code| !pages.contains_key(*code)) {
        findings.add(format!("{code} has no page: write {PAGES}/{code}.md"));
    }
    for (code, text) in pages {
        if !codes.contains(code) {
            findings.add(format!("{PAGES}/{code}.md has no code in {REGISTRY}: remove one"));
        }
        for fault in page_faults(code, text) {
            findings.add(format!("{PAGES}/{code}.md {fault}"));
        }
    }
    findings
}

fn page_faults(code: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.lines().next() != Some(&format!("# {code}")) {
        faults.push(format!("should open with `# {code}`"));
    }
    for section in SECTIONS {
        if section_text(text, section).is_none_or(|text| text.trim().is_empty()) {
            faults.push(format!("should have a section `{section}` with text in it"));
        }
    }
    faults
}

/// The text below a heading, up to the next heading of the same level.
fn section_text<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let below = page.split_once(&format!("\n{heading}\n"))?.1;
    Some(below.split("\n## ").next().unwrap_or(below))
}

/// The index: a row per page with the first sentence of what happened.
fn index(pages: &BTreeMap<String, String>) -> String {
    let mut text = String::from(
        "# Error codes\n\nEvery error that the API or the command line reports carries one of \
         these codes.\nThis index is written by `cargo xtask errors --bless`.\n\n\
         | Code | What happened |\n|---|---|\n",
    );
    for (code, page) in pages {
        let happened = section_text(page, SECTIONS[0]).unwrap_or_default();
        text.push_str(&format!("| [{code}]({code}.md) | {} |\n", first_sentence(happened)));
    }
    text
}

fn first_sentence(text: &str) -> String {
    let paragraph = text.trim().split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match line.find(". ") {
        Some(end) => line[..=end].to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# NOT_FOUND\n\n## What happened\n\nNothing has\nthis id. Or not yours.\n\
                        \n## What to do\n\nCheck it.\n";

    fn set(codes: &[&str]) -> BTreeSet<String> {
        codes.iter().map(|&code| code.to_owned()).collect()
    }

    fn one_page(code: &str, text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(code.to_owned(), text.to_owned())])
    }

    #[test]
    fn codes_are_the_screaming_literals_outside_of_tests() {
        let source = "NotFound => \"NOT_FOUND\", \"not found\"\nS3Down => \"S3_DOWN\",\n\
                      #[cfg(test)]\nmod tests { const X: &str = \"MADE_UP\"; }";
        assert_eq!(codes(source).unwrap(), set(&["NOT_FOUND", "S3_DOWN"]));
    }

    #[test]
    fn a_code_with_its_page_passes() {
        let findings = compare(&set(&["NOT_FOUND"]), &one_page("NOT_FOUND", PAGE));
        assert_eq!(findings.faults(), [""; 0]);
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_are_faults() {
        let findings = compare(&set(&["GONE"]), &one_page("NOT_FOUND", PAGE));
        let faults = findings.faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("write docs/errors/GONE.md"), "{faults:?}");
        assert!(faults[1].contains("NOT_FOUND.md has no code"), "{faults:?}");
    }

    #[test]
    fn an_empty_registry_is_a_fault() {
        assert_eq!(compare(&set(&[]), &BTreeMap::new()).faults().len(), 1);
    }

    #[test]
    fn a_page_needs_its_title_and_both_sections_filled() {
        let faults = page_faults("GONE", "# NOT_FOUND\n\n## What happened\n\n## What to do\n\nX\n");
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("# GONE"), "{faults:?}");
        assert!(faults[1].contains("## What happened"), "{faults:?}");
    }

    #[test]
    fn the_index_shows_the_first_sentence() {
        let index = index(&one_page("NOT_FOUND", PAGE));
        assert!(index.ends_with("| [NOT_FOUND](NOT_FOUND.md) | Nothing has this id. |\n"));
    }

    #[test]
    fn every_code_of_the_workspace_has_its_page() -> Result<()> {
        check(&crate::workspace::root(), false)?.into_result()
    }
}
