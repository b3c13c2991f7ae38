//! A destination of lines, and how whole lines get there.
//!
//! To a file all lines of a write go at once, appended (`O_APPEND`: several processes may write to
//! one file, and `copytruncate` of logrotate leaves no hole). If the disk is full in the middle of a
//! line, what was written of that line is taken back. To anything else (a pipe, a terminal, a
//! socket) whole lines go in pieces that the system writes as one (`PIPE_BUF`), and each write is
//! waited for with a time, so that a reader that takes nothing can be given up.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fs::OFlags;

/// What a pipe takes as one piece. Bytes; the same on every Linux (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Between two looks whether to go on waiting for a reader.
const READER_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// After a reader was ready and took nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

impl Target {
    /// A path that means standard output or standard error is taken as that: opened anew, a socket
    /// (systemd's journal) would be refused, and a file would be written at two places.
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

    /// As it is named in messages.
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
    /// The system says so.
    Io(io::Error),
    /// Nobody takes them, or not fast enough.
    TooSlow,
}

impl std::fmt::Display for OutletError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooSlow => f.write_str("what reads it does not keep up"),
        }
    }
}

impl OutletError {
    #[must_use]
    pub(crate) fn cure(&self) -> &'static str {
        match self {
            Self::Io(error) => cure(error),
            Self::TooSlow => "restart what reads it, or write to a file",
        }
    }
}

/// What to do if a file cannot be opened or written.
#[must_use]
pub(crate) fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "make its folder first",
        ErrorKind::PermissionDenied => "let this user write to it and to its folder",
        ErrorKind::IsADirectory => "name a file in that folder",
        ErrorKind::NotADirectory => "a part of its path is a file: name another path",
        ErrorKind::ReadOnlyFilesystem => "name a file in a place that can be written",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its disk",
        ErrorKind::FileTooLarge => "rotate it, or raise the limit of file sizes (`ulimit -f`)",
        ErrorKind::BrokenPipe => "start what reads it again, and then the gateway",
        _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            "start what reads it first"
        }
        _ => "see whether its disk and its path are as they should be",
    }
}

/// An open destination.
#[derive(Debug)]
pub(crate) struct Outlet {
    file: File,
    /// Whether it is a file on a disk: written at once, and what was torn is taken back.
    is_regular: bool,
    /// What is owed before the next line: the end of a line that was written in part.
    rest: Vec<u8>,
    /// Waits for a reader; made by the first write, on the thread that writes.
    waiter: Option<Poll>,
}

impl Outlet {
    /// Open it. Never waits: not for the reader of a named pipe either.
    ///
    /// # Errors
    ///
    /// As the system says it.
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

    /// Whether a line was written in part, and its end was not.
    #[must_use]
    pub(crate) fn is_mid_line(&self) -> bool {
        self.rest.len() > 1
    }

    /// Write these lines. `wait`: asked a few times a second while the destination takes nothing;
    /// `false` gives up.
    ///
    /// # Errors
    ///
    /// How many of the lines were not written, and why.
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
            let (piece, after) = left.split_at(self.chunk_length(left));
            if let Err((done, failure)) = self.write_all(piece, wait) {
                return Err((self.drop_partial_line(left, done), failure));
            }
            left = after;
        }
        Ok(())
    }

    /// How much of these lines goes in one write: all, or as many whole lines as a pipe takes as one
    /// piece, or one long line.
    fn chunk_length(&self, lines: &[u8]) -> usize {
        if self.is_regular || lines.len() <= PIPE_BUF {
            return lines.len();
        }
        let most = lines.get(..PIPE_BUF).unwrap_or(lines);
        let end = memchr::memrchr(b'\n', most).or_else(|| memchr::memchr(b'\n', lines));
        end.map_or(lines.len(), |end| end + 1)
    }

    /// A write ended in the middle of these lines: leave no part of a line behind. Gives how many
    /// lines are lost.
    fn drop_partial_line(&mut self, lines: &[u8], done: usize) -> u64 {
        let (written, missing) = lines.split_at_checked(done).unwrap_or((lines, &[]));
        let whole = memchr::memrchr(b'\n', written).map_or(0, |end| end + 1);
        let torn = written.len() - whole;
        let lost = count_lines(missing);
        if torn == 0 || (self.is_regular && self.truncate_last_write(torn as u64).unwrap_or(false))
        {
            return lost;
        }
        // The rest of that line comes first when something can be written again.
        let end = memchr::memchr(b'\n', missing).map_or(missing.len(), |end| end + 1);
        self.rest = missing.get(..end).unwrap_or_default().to_vec();
        lost.saturating_sub(1)
    }

    /// Shorten the file by what was just written, unless somebody else wrote after it.
    fn truncate_last_write(&mut self, bytes: u64) -> io::Result<bool> {
        let end = self.file.stream_position()?;
        if self.file.metadata()?.len() != end {
            return Ok(false);
        }
        let before = end.saturating_sub(bytes);
        self.file.set_len(before)?;
        // Without `O_APPEND` (a shell's `> file`) the next write must not leave a hole.
        self.file.seek(SeekFrom::Start(before))?;
        Ok(true)
    }

    /// Write all of these bytes. `Err`: how many were written, and why not the rest.
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
                    // Somebody else was faster.
                    ErrorKind::WouldBlock if wait() => std::thread::sleep(RETRY_PAUSE),
                    ErrorKind::WouldBlock => return Err((done, OutletError::TooSlow)),
                    _ => return Err((done, OutletError::Io(error))),
                },
            }
        }
        Ok(())
    }

    /// Whether it takes something; waits for a moment. It is asked anew each time (registered, and
    /// unregistered), as a write that may wait says nothing of whether the next one would.
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
            // A device that nobody has to wait for.
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

/// Append to a file, which is made if it is not there.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags);
    let is_pipe = std::fs::metadata(path).is_ok_and(|known| known.file_type().is_fifo());
    if is_pipe {
        // Open for both, so that a reader may come later, and may be restarted.
        let opened = options.clone().read(true).open(path);
        if opened.is_ok() {
            return opened;
        }
    }
    options.create(true).open(path)
}

/// Whether the file ends in the middle of a line: a process was killed while it wrote.
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
    // What cannot be read is left alone.
    matches!(last(), Ok(Some(byte)) if byte != b'\n')
}
