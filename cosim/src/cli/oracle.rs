//! `cosim oracle`.

use super::args::OracleArgs;
use crate::error::Error;
use crate::oracle::{Recording, find, replay};

/// Runs the command.
pub fn run(args: &OracleArgs) -> Result<(), Error> {
    let mut failed = 0;
    let mut all = 0;
    for path in &args.recordings {
        for dir in find(path).map_err(Error::oracle)? {
            all += 1;
            let report = Recording::open(&dir)
                .map_err(|e| e.to_string())
                .and_then(|recording| replay(&recording).map_err(|e| e.to_string()));
            match report {
                Ok(report) => {
                    failed += usize::from(!report.passed());
                    super::print(&report.to_string())?;
                }
                Err(problem) => {
                    failed += 1;
                    super::print(&format!("FAIL {}\n  {problem}\n", dir.display()))?;
                }
            }
        }
    }
    if failed > 0 {
        return Err(Error::Differs { failed, all });
    }
    super::print(&format!("{all} recordings, no difference\n"))
}
