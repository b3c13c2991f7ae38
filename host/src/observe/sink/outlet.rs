//! A destination of lines, which gets only whole lines.
//!
//! A file gets all lines of a write at once, appended (`O_APPEND`: several processes may write to
//! one file, and logrotate's `copytruncate` leaves no hole). If the disk is full in the middle of
//! a line, the part that was written is removed again. Any other destination (a pipe, a terminal,
//! a socket) gets whole lines in chunks that the system writes atomically (`PIPE_BUF`). Each write
//! has a timeout, so that the sink can give up on a reader that takes nothing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fs::OFlags;

/// The largest atomic write to a pipe. Bytes; the same on every Linux (pipe(7)).
const PIPE_BUF: usize = 4096;

/// How often a waiting write checks whether to go on waiting.
const READER_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Pause after a reader was ready and took nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    Stderr,
    /// A file; lines are appended.
    File(PathBuf),
}

impl Target {
    /// A path that means standard output or standard error becomes that target. If it were opened
    /// again, a socket (systemd's journal) would refuse, and a file would be written at two
    /// offsets.
    #[must_use]
    pub(crate) fn of(path: &Path) -> Self {
        let is = |names: [&str; 3]| names.iter().any(|name| path == Path::new(name));
        if is(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]) {
            return Self::Stdout;
        }
        if is(["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"]) {
            return Self::Stderr;
        }
        Self::File(path.to_owned())
    }

    /// The name in messages.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::Stderr => "standard error".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// Why lines were not written.
#[derive(Debug)]
pub(crate) enum OutletError {
    /// The system gives this error.
    Io(io::Error),
    /// The reader takes nothing, or is too slow.
    TooSlow,
}

impl std::fmt::Display for OutletError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooSlow => f.write_str("its reader does not keep up"),
        }
    }
}

impl OutletError {
    #[must_use]
    pub(crate) fn cure(&self) -> &'static str {
        match self {
            Self::Io(error) => cure(error),
            Self::TooSlow => "restart its reader, or write to a file",
        }
    }
}

/// The cure if a file cannot be opened or written.
#[must_use]
pub(crate) fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "create its folder first",
        ErrorKind::PermissionDenied => "let this user write to it and to its folder",
        ErrorKind::IsADirectory => "name a file in that folder",
        ErrorKind::NotADirectory => "a part of its path is a file; name another path",
        ErrorKind::ReadOnlyFilesystem => "name a file on a writable file system",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space on its disk",
        ErrorKind::FileTooLarge => "rotate it, or raise the limit of file sizes (`ulimit -f`)",
        ErrorKind::BrokenPipe => "start its reader again, and then the gateway",
        _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            "start its reader first"
        }
        _ => "check its disk and its path",
    }
}

/// An open destination.
#[derive(Debug)]
pub(crate) struct Outlet {
    file: File,
    /// Whether it is a file on a disk: all lines are written at once, and a partial line is
    /// removed.
    is_regular: bool,
    /// The rest of a line that was written in part; it comes before the next line.
    rest: Vec<u8>,
    /// Waits for the reader. The first write creates it on the writing thread.
    waiter: Option<Poll>,
}

/// A file on a disk that is written to.
#[derive(Debug)]
pub(super) struct RegularFile {
    /// Bytes.
    pub(super) length: u64,
    pub(super) created: SystemTime,
}

impl Outlet {
    /// The facts about the file; none if it is another destination.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub(super) fn regular_file(&self) -> io::Result<Option<RegularFile>> {
        if !self.is_regular {
            return Ok(None);
        }
        let metadata = self.file.metadata()?;
        Ok(Some(RegularFile {
            length: metadata.len(),
            // A file system that does not keep the time of creation: the file is rotated by its size only.
            created: metadata.created().unwrap_or_else(|_| SystemTime::now()),
        }))
    }

    /// Whether this is the file at that path, and has not been moved away.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let there = std::fs::metadata(path).map(identity);
        let here = self.file.metadata().map(identity);
        matches!((there, here), (Ok(there), Ok(here)) if there == here)
    }

    /// Opens the destination. Never waits, not even for the reader of a named pipe.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub(crate) fn open(target: &Target) -> io::Result<Self> {
        let (file, path) = match target {
            Target::Stdout => (io::stdout().as_fd().try_clone_to_owned()?.into(), None),
            Target::Stderr => (io::stderr().as_fd().try_clone_to_owned()?.into(), None),
            Target::File(path) => (open(path)?, Some(path)),
        };
        let is_regular = file.metadata()?.is_file();
        let torn = is_regular && path.is_some_and(|path| ends_mid_line(path));
        Ok(Self {
            file,
            is_regular,
            rest: if torn { b"\n".to_vec() } else { Vec::new() },
            waiter: None,
        })
    }

    /// A pipe whose reader is in this process.
    #[must_use]
    pub(crate) fn of_pipe(file: File) -> Self {
        Self {
            file,
            is_regular: false,
            rest: Vec::new(),
            waiter: None,
        }
    }

    /// Whether a line was written in part.
    #[must_use]
    pub(crate) fn is_mid_line(&self) -> bool {
        self.rest.len() > 1
    }

    /// Writes these lines. While the destination takes nothing, it calls `wait` a few times a
    /// second and gives up if that returns `false`.
    ///
    /// # Errors
    ///
    /// The number of lines that were not written, and the reason.
    pub(crate) fn write(
        &mut self,
        lines: &[u8],
        wait: &mut dyn FnMut() -> bool,
    ) -> Result<(), (u64, OutletError)> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            if let Err((done, failure)) = self.write_all(&rest, wait) {
                self.rest = rest.get(done..).unwrap_or_default().to_vec();
                return Err((count_lines(lines), failure));
            }
        }
        let mut left = lines;
        while !left.is_empty() {
            let (chunk, after) = left.split_at(self.chunk_length(left));
            if let Err((done, failure)) = self.write_all(chunk, wait) {
                return Err((self.drop_partial_line(left, done), failure));
            }
            left = after;
        }
        Ok(())
    }

    /// The number of bytes for one write: all, or as many whole lines as a pipe writes atomically,
    /// or one long line.
    fn chunk_length(&self, lines: &[u8]) -> usize {
        if self.is_regular || lines.len() <= PIPE_BUF {
            return lines.len();
        }
        let most = lines.get(..PIPE_BUF).unwrap_or(lines);
        let end = memchr::memrchr(b'\n', most).or_else(|| memchr::memchr(b'\n', lines));
        end.map_or(lines.len(), |end| end + 1)
    }

    /// Removes the part of a line that an interrupted write left behind. Returns the number of
    /// lost lines.
    fn drop_partial_line(&mut self, lines: &[u8], done: usize) -> u64 {
        let (written, missing) = lines.split_at_checked(done).unwrap_or((lines, &[]));
        let whole = memchr::memrchr(b'\n', written).map_or(0, |end| end + 1);
        let torn = written.len() - whole;
        let lost = count_lines(missing);
        if torn == 0 || (self.is_regular && self.truncate_last_write(torn as u64).unwrap_or(false))
        {
            return lost;
        }
        // The rest of that line comes first when the destination takes data again.
        let end = memchr::memchr(b'\n', missing).map_or(missing.len(), |end| end + 1);
        self.rest = missing.get(..end).unwrap_or_default().to_vec();
        lost.saturating_sub(1)
    }

    /// Shortens the file by the last write, unless somebody else has written after it.
    fn truncate_last_write(&mut self, bytes: u64) -> io::Result<bool> {
        let end = self.file.stream_position()?;
        if self.file.metadata()?.len() != end {
            return Ok(false);
        }
        let before = end.saturating_sub(bytes);
        self.file.set_len(before)?;
        // Without `O_APPEND` (a shell's `> file`) the next write would otherwise leave a hole.
        self.file.seek(SeekFrom::Start(before))?;
        Ok(true)
    }

    /// Writes all of these bytes. `Err`: the number that were written, and the error.
    fn write_all(
        &mut self,
        bytes: &[u8],
        wait: &mut dyn FnMut() -> bool,
    ) -> Result<(), (usize, OutletError)> {
        let mut done = 0;
        while let Some(left) = bytes.get(done..).filter(|left| !left.is_empty()) {
            if !self.is_regular
                && !self
                    .is_ready()
                    .map_err(|error| (done, OutletError::Io(error)))?
            {
                if wait() {
                    continue;
                }
                return Err((done, OutletError::TooSlow));
            }
            match self.file.write(left) {
                Ok(0) => return Err((done, OutletError::Io(ErrorKind::WriteZero.into()))),
                Ok(count) => done += count,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // Another writer was faster.
                    ErrorKind::WouldBlock if wait() => std::thread::sleep(RETRY_PAUSE),
                    ErrorKind::WouldBlock => return Err((done, OutletError::TooSlow)),
                    _ => return Err((done, OutletError::Io(error))),
                },
            }
        }
        Ok(())
    }

    /// Waits a moment until the destination takes data. It registers and unregisters each time,
    /// because an earlier readiness says nothing about the next write.
    fn is_ready(&mut self) -> io::Result<bool> {
        let waiter = match &mut self.waiter {
            Some(waiter) => waiter,
            none => none.insert(Poll::new()?),
        };
        let file = self.file.as_raw_fd();
        let mut file = SourceFd(&file);
        let registered = waiter
            .registry()
            .register(&mut file, Token(0), Interest::WRITABLE);
        match registered {
            Ok(()) => {}
            // A device that never blocks.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(true),
            Err(error) => return Err(error),
        }
        let mut events = Events::with_capacity(1);
        let polled = waiter.poll(&mut events, Some(READER_CHECK_INTERVAL));
        waiter.registry().deregister(&mut file)?;
        match polled {
            Ok(()) => Ok(!events.is_empty()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// How many lines these bytes are.
pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Opens a file to append, and creates it if it does not exist.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags);
    let is_pipe = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    if is_pipe {
        // Opened for reading and writing, so that a reader may come later, and may be restarted.
        let opened = options.clone().read(true).open(path);
        if opened.is_ok() {
            return opened;
        }
    }
    options.create(true).open(path)
}

/// Whether the file ends in the middle of a line, because a process was killed while it wrote.
fn ends_mid_line(path: &Path) -> bool {
    let last = || -> io::Result<Option<u8>> {
        let mut file = File::open(path)?;
        if file.metadata()?.size() == 0 {
            return Ok(None);
        }
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte.first().copied())
    };
    // A file that cannot be read stays as it is.
    matches!(last(), Ok(Some(byte)) if byte != b'\n')
}
