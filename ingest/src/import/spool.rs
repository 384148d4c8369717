//! Opening what is to be imported: files as they are, standard input by way of a scratch file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::IngestError;

/// Everything that makes two imports the same one.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The mapping's text, for CSV.
    pub mapping: Option<&'a str>,
    /// The source URI given on the command line.
    pub source: Option<&'a str>,
    /// The allowed namespaces of custom types.
    pub namespaces: &'a [String],
}

/// A file ready to be read from its beginning, with its identity.
#[derive(Debug)]
pub struct Spooled {
    /// The open file, at its beginning.
    pub file: File,
    /// Its length in bytes.
    pub bytes: u64,
    /// `file/<sha256>` of content, mapping, source and namespaces.
    pub app_id: String,
}

/// Opens `path` (`-` is standard input, which is spooled first) and hashes it.
///
/// # Errors
/// A file that cannot be read; a scratch file that cannot be written.
pub fn open(path: &Path, identity: Identity<'_>) -> Result<Spooled, IngestError> {
    let mut file = if path == Path::new("-") { spool_stdin()? } else { open_file(path)? };
    let read = |source| IngestError::Read { path: path.to_owned(), source };
    let mut content = Sha256::new();
    let bytes = io::copy(&mut file, &mut content).map_err(read)?;
    file.seek(SeekFrom::Start(0)).map_err(read)?;
    let mut whole = Sha256::new();
    whole.update(content.finalize());
    let mut namespaces = identity.namespaces.to_vec();
    namespaces.sort();
    namespaces.dedup();
    for part in [identity.mapping, identity.source].into_iter().map(Option::unwrap_or_default) {
        whole.update((part.len() as u64).to_le_bytes());
        whole.update(part);
    }
    for namespace in namespaces {
        whole.update((namespace.len() as u64).to_le_bytes());
        whole.update(namespace);
    }
    Ok(Spooled { file, bytes, app_id: format!("file/{}", hex(&whole.finalize())) })
}

fn open_file(path: &Path) -> Result<File, IngestError> {
    let read = |source| IngestError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.is_dir() {
        return Err(read(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
    }
    if file.metadata().map_err(read)?.is_file() {
        return Ok(file);
    }
    spool(file)
}

fn spool_stdin() -> Result<File, IngestError> {
    spool(io::stdin().lock())
}

fn spool(mut input: impl Read) -> Result<File, IngestError> {
    let mut scratch = tempfile::tempfile().map_err(IngestError::Spool)?;
    io::copy(&mut input, &mut scratch).map_err(IngestError::Spool)?;
    scratch.seek(SeekFrom::Start(0)).map_err(IngestError::Spool)?;
    Ok(scratch)
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// The path of an import for people.
pub fn shown(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("standard input") } else { path.to_owned() }
}
