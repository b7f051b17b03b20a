//! What a package wants of a program: manual page, completions, the table of keys.

use clap::CommandFactory;

use super::args::Cli;
use super::exit::{EXITS, Exit};
use super::print::{self, put};
use crate::cockpit::command::{COMMANDS, Command};

/// `cutover completions SHELL`.
pub fn completions(shell: clap_complete::Shell) -> Exit {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cutover", &mut out);
    print::raw(&out);
    Exit::Fine
}

/// `cutover man`.
pub fn man() -> Exit {
    match manual() {
        Ok(page) => {
            print::raw(&page);
            Exit::Fine
        }
        Err(e) => {
            print::err(format!("the manual page could not be made: {e}"));
            Exit::Usage
        }
    }
}

/// The page: the program, then every verb, then the exit codes.
pub fn manual() -> std::io::Result<Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let mut out = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
        let mut roff = clap_mangen::roff::Roff::default();
        roff.control("SH", [format!("cutover {}", verb.get_name()).to_uppercase().as_str()]);
        roff.to_writer(&mut out)?;
        let page = clap_mangen::Man::new(verb.clone());
        let mut text = Vec::new();
        page.render_synopsis_section(&mut text)?;
        page.render_description_section(&mut text)?;
        page.render_options_section(&mut text)?;
        out.extend(sections_below(&text));
        if let Some(notes) = verb.get_after_help() {
            render_notes(&notes.to_string(), &mut out)?;
        }
    }
    let mut roff = clap_mangen::roff::Roff::default();
    roff.control("SH", ["EXIT STATUS"]);
    for (_, code, meaning) in EXITS {
        roff.control("TP", []);
        roff.text([clap_mangen::roff::bold(code.to_string())]);
        roff.text([clap_mangen::roff::roman(meaning)]);
    }
    roff.to_writer(&mut out)?;
    Ok(out)
}

/// What stands below a verb's help: examples line by line, sentences as text.
fn render_notes(notes: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut roff = clap_mangen::roff::Roff::default();
    roff.control("SS", ["EXAMPLES AND NOTES"]);
    for paragraph in notes.split("\n\n") {
        roff.control("PP", []);
        let example = paragraph.contains("\n  ");
        if example {
            roff.control("nf", []);
        }
        for line in paragraph.lines() {
            roff.text([clap_mangen::roff::roman(line)]);
        }
        if example {
            roff.control("fi", []);
        }
    }
    roff.to_writer(out)
}

/// Sections of a verb stand one level below its own.
fn sections_below(page: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(page).replace("\n.SH ", "\n.SS ").into_bytes()
}

/// `cutover keys`.
pub fn keys(markdown: bool) -> Exit {
    print::out(if markdown { markdown_keys(COMMANDS) } else { plain_keys(COMMANDS) });
    Exit::Fine
}

fn plain_keys(commands: &[Command]) -> String {
    let mut parts = Vec::new();
    for group in groups(commands) {
        let rows: Vec<_> = commands
            .iter()
            .filter(|c| c.group == group)
            .map(|c| [format!("  {}", c.keys_text()), c.title.to_owned(), c.doc.to_owned()])
            .collect();
        parts.push(format!("{}\n{}", group.title(), print::columns(&rows)));
    }
    parts.join("\n\n")
}

/// The table of keys for the README.
pub fn markdown_keys(commands: &[Command]) -> String {
    let mut out = String::from("| key | command | what it does |\n|---|---|---|");
    for group in groups(commands) {
        for c in commands.iter().filter(|c| c.group == group) {
            let keys: Vec<_> =
                c.keys.iter().map(|k| format!("`{}`", k.to_string().replace('|', "\\|"))).collect();
            put(
                &mut out,
                format_args!("\n| {} | {} | {} |", keys.join(", "), c.title, c.doc.replace('|', "\\|")),
            );
        }
    }
    out
}

fn groups(commands: &[Command]) -> Vec<crate::cockpit::command::Group> {
    let mut groups: Vec<_> = commands.iter().map(|c| c.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_every_verb_and_exit_code() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for verb in Cli::command().get_subcommands().filter(|v| !v.is_hide_set()) {
            let heading = format!("CUTOVER {}", verb.get_name().to_uppercase());
            assert!(page.contains(&heading), "{heading} is not in the manual");
            let notes = verb.get_after_help().unwrap().to_string();
            let example =
                notes.lines().nth(1).unwrap().trim().split('\'').next().unwrap().replace('-', "\\-");
            assert!(page.contains(&example), "{example} is not in the manual");
        }
        assert!(page.contains("EXIT STATUS") && page.contains("75"));
    }

    #[test]
    fn every_shell_has_completions() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let mut out = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "cutover", &mut out);
            assert!(String::from_utf8(out).unwrap().contains("rollback"), "{shell}");
        }
    }

    #[test]
    fn every_command_is_in_the_table_of_keys() {
        let table = markdown_keys(COMMANDS);
        assert_eq!(table.lines().count(), COMMANDS.len() + 2);
    }
}
