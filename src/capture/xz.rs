//! xz streams, as sos packs its reports.

use std::io::{self, Read};
use xz4rust::{XzDecoder, XzError};

/// The unpacked bytes of streams one behind the other.
pub(super) struct Xz<'a> {
    packed: &'a [u8],
    decoder: Box<XzDecoder<'static>>,
    /// Between two streams.
    ended: bool,
}

impl<'a> Xz<'a> {
    /// Reads `packed`; a stream that asks for a dictionary of more bytes than `dictionary` is an error.
    pub fn new(packed: &'a [u8], dictionary: usize) -> Self {
        Self {
            packed,
            decoder: XzDecoder::in_heap_with_alloc_dict_size(0, dictionary),
            ended: false,
        }
    }
}

impl Read for Xz<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if self.ended {
                // Streams are padded with zeros.
                let next = self.packed.iter().position(|b| *b != 0);
                self.packed = next.and_then(|i| self.packed.get(i..)).unwrap_or_default();
                if self.packed.is_empty() {
                    return Ok(0);
                }
                self.decoder.reset();
                self.ended = false;
            }
            if self.packed.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let done = self.decoder.decode(self.packed, out).map_err(|e| match e {
                XzError::DictionaryTooLarge(_) => {
                    io::Error::other("its xz stream asks for more memory than is given to it")
                }
                e => io::Error::new(io::ErrorKind::InvalidData, format!("damaged xz: {e}")),
            })?;
            let (taken, made) = (done.input_consumed(), done.output_produced());
            self.packed = self.packed.get(taken..).unwrap_or_default();
            self.ended = done.is_end_of_stream();
            if made > 0 {
                return Ok(made);
            }
            if taken == 0 && !self.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
