//! MariaDB, of whatever version is installed.

use crate::shared::{Running, Shared};
use crate::template::{command_as, copy, run};
use crate::{Process, find, missing, shared};

/// One for the whole run: each case has a database to itself.
pub const SHARED: Shared = Shared {
    name: "mariadb",
    variable: "PRINTMILL_TEST_MARIADB",
    packages: &["mariadb-server"],
    start: || {
        let started = MariaDb::start(&[])?;
        Ok(started.map(|it| Running { address: it.address.clone(), guard: Box::new(it) }))
    },
};

/// Who servers of databases run as when tests run as root.
const USER: &str = "mysql";
/// The password of the user `printmill` on servers of a test's own.
pub const PASSWORD: &str = "printmill";

/// A MariaDB server.
pub struct MariaDb {
    /// Where its first database is, as in `mysql://printmill:printmill@127.0.0.1:3306/printmill`.
    pub address: String,
    /// Its process, if it is the test's own.
    pub process: Option<Process>,
}

impl MariaDb {
    /// The shared server if there is one; else one of its own.
    pub fn find() -> anyhow::Result<Option<Self>> {
        match shared(SHARED.variable) {
            Some(address) => Ok(Some(Self { address, process: None })),
            None => Self::start(&[]),
        }
    }

    /// A server of the test's own with options (as in `--read-only=1`), which it may stop and
    /// restart.
    pub fn start(options: &[&str]) -> anyhow::Result<Option<Self>> {
        let (Some(server), Some(install)) =
            (find::program("mariadbd"), find::program("mariadb-install-db"))
        else {
            missing("mariadbd", "apt-get install mariadb-server")?;
            return Ok(None);
        };
        let folder = copy("mariadb-data-1", USER, |data| {
            let mut command = command_as(USER, &install);
            command.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]);
            command.arg("--auth-root-authentication-method=normal");
            run(command.arg(format!("--datadir={}", data.display())))
        })?;
        std::fs::write(folder.path().join("first.sql"), first())?;
        let options: Vec<String> = options.iter().map(|it| String::from(*it)).collect();
        let process = Process::start_in(folder, move |folder, port| {
            let mut command = command_as(USER, &server);
            command.arg("--no-defaults");
            for (option, file) in
                [("datadir", "data"), ("socket", "socket"), ("init-file", "first.sql")]
            {
                command.arg(format!("--{option}={}", folder.join(file).display()));
            }
            command.arg(format!("--port={port}")).arg("--bind-address=127.0.0.1");
            command.args(["--skip-name-resolve", "--max-connections=300"]).args(&options);
            command
        })?;
        let port = process.port();
        let address = format!("mysql://printmill:{PASSWORD}@127.0.0.1:{port}/printmill");
        Ok(Some(Self { address, process: Some(process) }))
    }

    /// The address of another of its databases.
    pub fn database(&self, name: &str) -> String {
        let server = self.address.rsplit_once('/').map_or(&*self.address, |(server, _)| server);
        format!("{server}/{name}")
    }
}

/// What the server does whenever it starts. Each statement is a line.
fn first() -> String {
    format!(
        "CREATE USER IF NOT EXISTS printmill IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO printmill WITH GRANT OPTION;\n\
         CREATE DATABASE IF NOT EXISTS printmill;\n"
    )
}
