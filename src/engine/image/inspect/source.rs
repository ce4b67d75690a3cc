//! Where the tar of a layer comes from: a blob, wherever it lies, or a layer directory, which the worker streams. Both are read
//! in one way, and what was read is compared with what the digests say.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::read::InspectError;
use crate::engine::oci::{LayerId, Packing};
use crate::engine::protocol::{Compression, Reply, Request};
use crate::engine::worker::{Worker, WorkerError};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::PathResultExt;

/// What a small zstd frame may ask for in memory: 128 MiB, as when a layer is unpacked.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The tar of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tar {
    /// A blob: a file, or a part of one.
    Blob {
        /// The file.
        path: PathBuf,
        /// Where the blob begins in it.
        at: u64,
        /// Bytes.
        size: u64,
        /// Of the blob; none where nothing names it.
        digest: Option<Digest>,
        /// How it is packed.
        packing: Packing,
        /// Of the tar in it; none where nothing names it.
        diff_id: Option<Digest>,
    },
    /// A layer directory of the store.
    Directory(LayerId),
}

/// A layer of an image or of a step's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSource {
    /// Its content.
    pub tar: Tar,
    /// The instruction that made it, as untrusted as the image; empty where nothing says it.
    pub made_by: String,
    /// Line of the Dockerfile, for a step of the last build.
    pub line: Option<u32>,
    /// Its stage, for a step of the last build.
    pub stage: Option<String>,
    /// It came with the base image.
    pub is_base: bool,
}

/// How the reading of a tar ended.
pub(super) enum End {
    /// It is not what its digests say.
    Damaged(String),
    /// It could not be read.
    Unreadable(String),
}

/// A tar that is being read.
pub(super) struct Opened {
    plain: Shared,
    /// The blob, with its digest and size.
    packed: Option<(Shared, Option<Digest>, u64)>,
    diff_id: Option<Digest>,
    /// Who writes it.
    writer: Option<JoinHandle<Result<Reply, WorkerError>>>,
}

/// Bytes on their way, hashed and counted.
struct Counted {
    inner: Box<dyn Read>,
    digester: Digester,
    size: u64,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Counted>>);

impl Shared {
    fn new(inner: Box<dyn Read>) -> Self {
        Self(Rc::new(RefCell::new(Counted { inner, digester: Digester::default(), size: 0 })))
    }

    fn digest(&self) -> Digest {
        self.0.borrow().digester.clone().finish()
    }

    fn size(&self) -> u64 {
        self.0.borrow().size
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut own = self.0.borrow_mut();
        let length = own.inner.read(buffer)?;
        own.digester.update(&buffer[..length]);
        own.size += length as u64;
        Ok(length)
    }
}

impl Tar {
    /// Opens it; `number` is for messages.
    pub(super) fn open(&self, number: usize, worker: Option<&Arc<Worker>>) -> Result<Opened, InspectError> {
        match self {
            Self::Blob { path, at, size, digest, packing, diff_id } => {
                let mut file = File::open(path).at("read", path)?;
                file.seek(SeekFrom::Start(*at)).at("read", path)?;
                let packed = Shared::new(Box::new(BufReader::with_capacity(1 << 17, file).take(*size)));
                let plain = unpacked(packed.clone(), *packing).at("read", path)?;
                Ok(Opened {
                    plain: Shared::new(plain),
                    packed: Some((packed, *digest, *size)),
                    diff_id: *diff_id,
                    writer: None,
                })
            }
            Self::Directory(layer) => {
                let unreadable = |why: String| InspectError::Unreadable { number, why };
                let Some(worker) = worker.map(Arc::clone) else {
                    return Err(unreadable("its files can only be read by a worker, and there is none".into()));
                };
                let (reader, writer) = io::pipe().map_err(|e| unreadable(format!("no pipe: {e}")))?;
                let layer = layer.clone();
                let request = Request::WriteLayer { layer, compression: Compression::None, level: None, clamp_times: None };
                let writer = std::thread::spawn(move || worker.call(request, vec![writer.into()]));
                let plain = Shared::new(Box::new(BufReader::with_capacity(1 << 17, reader)));
                Ok(Opened { plain, packed: None, diff_id: None, writer: Some(writer) })
            }
        }
    }
}

fn unpacked(packed: Shared, packing: Packing) -> io::Result<Box<dyn Read>> {
    Ok(match packing {
        Packing::Plain => Box::new(packed),
        Packing::Gzip => Box::new(BufReader::with_capacity(1 << 17, flate2::read::MultiGzDecoder::new(packed))),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer)
    }
}

impl Opened {
    /// Ends the reading. With `to_the_end` what is left is read, and everything compared with the digests.
    pub(super) fn close(mut self, to_the_end: bool) -> Result<(), End> {
        let checked = if to_the_end { self.check() } else { Ok(()) };
        let Self { plain, packed, writer, .. } = self;
        let found = plain.digest();
        // The writer ends when nobody reads any more.
        drop((plain, packed));
        let Some(writer) = writer else { return checked };
        match writer.join() {
            _ if !to_the_end => Ok(()),
            Ok(Ok(Reply::Written { diff_id, .. })) if diff_id == found => checked,
            Ok(Ok(Reply::Written { .. })) => Err(End::Damaged("its tar was not read as it was written".into())),
            Ok(Ok(other)) => Err(End::Unreadable(format!("unexpected answer {other:?}"))),
            Ok(Err(error)) => Err(End::Unreadable(error.to_string())),
            Err(_) => Err(End::Unreadable("its writing broke off".into())),
        }
    }

    fn check(&mut self) -> Result<(), End> {
        let unreadable = |e: io::Error| End::Damaged(format!("it cannot be read to its end: {e}"));
        // Everything after the end mark belongs to the digests too.
        io::copy(&mut self.plain, &mut io::sink()).map_err(unreadable)?;
        if let Some((packed, digest, size)) = &mut self.packed {
            io::copy(packed, &mut io::sink()).map_err(unreadable)?;
            if packed.size() != *size {
                return Err(End::Damaged(format!("its blob has {} bytes instead of {size}", packed.size())));
            }
            compare("digest", packed.digest(), *digest)?;
        }
        compare("DiffID", self.plain.digest(), self.diff_id)
    }
}

fn compare(what: &str, found: Digest, wanted: Option<Digest>) -> Result<(), End> {
    match wanted.filter(|wanted| *wanted != found) {
        Some(wanted) => Err(End::Damaged(format!("it has the {what} {found} instead of {wanted}"))),
        None => Ok(()),
    }
}
