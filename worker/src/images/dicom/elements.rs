//! The elements of a DICOM data set, in little endian (PS3.5, chapter 7).

use std::borrow::Cow;

use super::fault::{damaged, unsupported};
use crate::images::Fault;

/// Group and element number.
pub(super) type Tag = (u16, u16);

const ITEM: Tag = (0xFFFE, 0xE000);
const ITEM_END: Tag = (0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = (0xFFFE, 0xE0DD);

/// A length that says: until the end is marked.
const UNDEFINED: u32 = u32::MAX;

/// Deepest nesting of sequences; real files have a handful.
const DEPTH: usize = 32;

/// Value representations with a 32-bit length; those of the others have 16 bits.
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

/// What stands before a value.
pub(super) struct Header {
    pub(super) tag: Tag,
    /// Value representation, where it is written.
    vr: Option<[u8; 2]>,
    length: u32,
}

impl Header {
    /// Whether the value is a sequence of items whose length is not known.
    pub(super) const fn is_undefined(&self) -> bool {
        self.length == UNDEFINED
    }
}

/// Reads elements one after another.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    /// Whether value representations are written.
    explicit: bool,
}

impl<'a> Elements<'a> {
    /// The elements in `bytes`.
    pub(super) const fn new(bytes: &'a [u8], explicit: bool) -> Self {
        Self { rest: bytes, explicit }
    }

    /// What is not read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element's tag; none at the end.
    pub(super) fn next_tag(&self) -> Option<Tag> {
        let [a, b, c, d] = *self.rest.first_chunk()?;
        Some((u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
    }

    /// The next header; its value must be taken or skipped before the next call.
    pub(super) fn header(&mut self) -> Result<Header, Fault> {
        let tag = (self.number()?, self.number()?);
        // Items have no representation, in whatever syntax.
        if !self.explicit || tag.0 == ITEM.0 {
            return Ok(Header { tag, vr: None, length: self.long()? });
        }
        let vr = self.array()?;
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(damaged(format!("element {} has no value representation", name(tag))));
        }
        let length = if LONG.contains(&&vr) {
            self.take(2)?;
            self.long()?
        } else {
            u32::from(self.number()?)
        };
        Ok(Header { tag, vr: Some(vr), length })
    }

    /// The value of an element of known length.
    pub(super) fn value(&mut self, header: &Header) -> Result<&'a [u8], Fault> {
        if header.is_undefined() {
            return Err(damaged(format!("element {} has no length", name(header.tag))));
        }
        self.take(header.length as usize)
            .map_err(|_| damaged(format!("element {} is longer than the file", name(header.tag))))
    }

    /// The fragments of encapsulated pixel data, joined, without the offset table before them (PS3.5, A.4).
    pub(super) fn fragments(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        let mut joined: Option<Cow<'a, [u8]>> = None;
        let mut is_table = true;
        loop {
            let header = self.header()?;
            match header.tag {
                SEQUENCE_END => break,
                ITEM => {}
                tag => return Err(damaged(format!("element {} among the pixel data", name(tag)))),
            }
            let fragment = self.value(&header)?;
            match &mut joined {
                _ if is_table => is_table = false,
                None => joined = Some(Cow::Borrowed(fragment)),
                Some(joined) => joined.to_mut().extend_from_slice(fragment),
            }
        }
        joined.ok_or_else(|| damaged("the pixel data are empty"))
    }

    /// Goes past a value.
    pub(super) fn skip(&mut self, header: &Header) -> Result<(), Fault> {
        self.skip_value(header, 0)
    }

    fn skip_value(&mut self, header: &Header, depth: usize) -> Result<(), Fault> {
        if !header.is_undefined() {
            return self.value(header).map(|_| ());
        }
        if depth == DEPTH {
            return Err(unsupported(format!("sequences nested more than {DEPTH} deep")));
        }
        // Unknown values of undefined length are sequences in implicit representation (PS3.5, 6.2.2).
        let explicit = self.explicit;
        self.explicit &= header.vr != Some(*b"UN");
        let skipped = self.skip_items(depth);
        self.explicit = explicit;
        skipped
    }

    fn skip_items(&mut self, depth: usize) -> Result<(), Fault> {
        loop {
            let header = self.header()?;
            match header.tag {
                SEQUENCE_END => return Ok(()),
                ITEM if header.is_undefined() => self.skip_elements(depth)?,
                ITEM => self.value(&header).map(|_| ())?,
                tag => return Err(damaged(format!("element {} instead of an item", name(tag)))),
            }
        }
    }

    fn skip_elements(&mut self, depth: usize) -> Result<(), Fault> {
        loop {
            let header = self.header()?;
            if header.tag == ITEM_END {
                return Ok(());
            }
            self.skip_value(&header, depth + 1)?;
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| damaged("it ends within an element"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn number(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    fn long(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }
}

/// A tag as the standard writes it.
fn name((group, element): Tag) -> String {
    format!("({group:04X},{element:04X})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: &[u8] = b"\x28\0\x10\0US\x02\0\x07\0";

    /// Skips the first of the elements in `bytes`, and gives the value of the next.
    fn after_skipping(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let bytes = [bytes, AFTER].concat();
        let mut elements = Elements::new(&bytes, true);
        let header = elements.header()?;
        elements.skip(&header)?;
        let header = elements.header()?;
        assert_eq!(header.tag, (0x0028, 0x0010));
        elements.value(&header).map(<[u8]>::to_vec)
    }

    /// An explicit sequence of undefined length with one such item, which holds `content`.
    fn sequence(content: &[u8]) -> Vec<u8> {
        let start = b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF";
        let end = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        [start, content, end].concat()
    }

    #[test]
    fn sequences_of_undefined_length_are_skipped() {
        assert_eq!(after_skipping(&sequence(&sequence(AFTER))), Ok(vec![7, 0]));
        assert!(matches!(after_skipping(&sequence(b"\x08\0\0\0US\xFF\xFF")), Err(Fault::Damaged { .. })));
    }

    #[test]
    fn unknown_values_of_undefined_length_hold_implicit_elements() {
        let item = b"\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\x28\0\x10\0\x02\0\0\0\x07\0\xFE\xFF\x0D\xE0\0\0\0\0";
        let end = b"\xFE\xFF\xDD\xE0\0\0\0\0";
        let unknown = [b"\x09\0\x01\x10UN\0\0\xFF\xFF\xFF\xFF", &item[..], end].concat();
        assert_eq!(after_skipping(&unknown), Ok(vec![7, 0]));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| (0..depth).fold(AFTER.to_vec(), |content, _| sequence(&content));
        assert_eq!(after_skipping(&nested(DEPTH)), Ok(vec![7, 0]));
        assert!(matches!(after_skipping(&nested(DEPTH + 1)), Err(Fault::Unsupported { .. })));
    }

    #[test]
    fn fragments_are_joined_without_the_offset_table() {
        let bytes = b"\xFE\xFF\0\xE0\x02\0\0\0\x09\x09\xFE\xFF\0\xE0\x02\0\0\0\x01\x02\xFE\xFF\0\xE0\x01\0\0\0\x03\xFE\xFF\xDD\xE0\0\0\0\0";
        assert_eq!(Elements::new(bytes, true).fragments().unwrap(), &[1, 2, 3][..]);
        assert!(Elements::new(&bytes[..bytes.len() - 8], true).fragments().is_err());
        assert!(Elements::new(b"\xFE\xFF\xDD\xE0\0\0\0\0", true).fragments().is_err());
    }
}
