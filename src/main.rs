//! The binary: parse the command line, run the command, turn its outcome into an exit code
//! (0 done, 1 failed, 2 a setting or argument is wrong).

use clap::Parser;
use clap::error::ErrorKind;
use gitops_status_server::commands::{self, Failure};
use gitops_status_server::config::{Cli, Command, KeyCommand, LogFormat};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return wrong_setting(&first_line(&error.to_string())),
    };
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    match prepare(&command) {
        Ok(()) => exit_code(run(command)),
        Err(problem) => wrong_setting(&problem),
    }
}

/// Judges the settings and starts the log, before anything is touched.
fn prepare(command: &Command) -> Result<(), String> {
    match command {
        Command::Serve(args) => {
            args.check()?;
            log_to_stderr(args.log_format)
        }
        Command::Import(args) => {
            args.database.check()?;
            log_to_stderr(LogFormat::Text)
        }
        Command::Export(args) => {
            args.database.check()?;
            log_to_stderr(LogFormat::Text)
        }
        Command::Review(args) => args.database.check(),
        Command::Verify(args) => args.database.check(),
        Command::Backup(args) => args.database.check(),
        Command::Restore(args) => {
            args.database.check()?;
            log_to_stderr(LogFormat::Text)
        }
        Command::Rebuild(args) | Command::AcceptRollback(args) => args.check(),
        Command::Key(KeyCommand::Show { database, .. } | KeyCommand::Rotate { database, .. }) => {
            database.check()
        }
        Command::Openapi | Command::Healthcheck(_) | Command::Token(_) => Ok(()),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Openapi => commands::openapi::run(),
        Command::AcceptRollback(args) => {
            actix_web::rt::System::new().block_on(commands::trust::run_accept_rollback(args))
        }
        Command::Key(command) => {
            actix_web::rt::System::new().block_on(commands::keys::run(command))
        }
        Command::Healthcheck(args) => commands::healthcheck::run(&args),
        Command::Token(command) => commands::token::run(command),
        Command::Serve(args) => actix_web::rt::System::new().block_on(commands::serve::run(args)),
        Command::Import(args) => actix_web::rt::System::new().block_on(commands::import::run(args)),
        Command::Export(args) => actix_web::rt::System::new().block_on(commands::export::run(args)),
        Command::Review(args) => actix_web::rt::System::new().block_on(commands::review::run(args)),
        Command::Backup(args) => actix_web::rt::System::new().block_on(commands::backup::run(args)),
        Command::Restore(args) => {
            actix_web::rt::System::new().block_on(commands::restore::run(args))
        }
        Command::Verify(args) => actix_web::rt::System::new().block_on(commands::verify::run(args)),
        Command::Rebuild(args) => {
            actix_web::rt::System::new().block_on(commands::verify::run_rebuild(args))
        }
    }
}

fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(commands::say::failed(&failure)),
    }
}

fn wrong_setting(problem: &str) -> ExitCode {
    commands::say::aside(&format!("gitops-status-server: {problem}"));
    ExitCode::from(2)
}

/// clap explains at length; an operator's log wants the line that names the setting.
fn first_line(text: &str) -> String {
    let mut lines = text.lines();
    let line = lines.next().unwrap_or("wrong arguments").trim_start_matches("error: ");
    if !line.ends_with(':') {
        return format!("{line}; see --help");
    }
    // What it is about stands on the lines below.
    let names: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect();
    format!("{line} {}; see --help", names.join(", "))
}

/// Starts the log; a `RUST_LOG` that cannot be parsed is an error that says so.
fn log_to_stderr(format: LogFormat) -> Result<(), String> {
    let directives = std::env::var("RUST_LOG").ok();
    commands::log::start(directives.as_deref(), format == LogFormat::Json)
}
