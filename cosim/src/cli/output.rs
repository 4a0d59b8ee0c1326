//! A text file that a command writes at its end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file that exists from the start of the run on: whether it can be written shows before the work is done, not after it.
pub struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Creates the file that was asked for, if one was; what was in it before is gone.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn create(path: Option<&Path>) -> Result<Option<Self>, Error> {
        let create = |path: &Path| match File::create(path) {
            Ok(file) => Ok(Self {
                path: path.to_path_buf(),
                file,
            }),
            Err(source) => Err(Error::File {
                action: "create",
                path: path.to_path_buf(),
                source,
            }),
        };
        path.map(create).transpose()
    }

    /// Writes all of the text and closes the file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(mut self, text: &str) -> Result<(), Error> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| Error::File {
            action: "write",
            path: self.path,
            source,
        })
    }
}
