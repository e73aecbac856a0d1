//! TFRecord framing: length and CRC of it, the data and CRC of that, little-endian. Checksums are CRC-32C, masked, as they are
//! meant to be stored beside what they sum.

/// Bytes before the data of a record, and after it.
const HEAD: usize = 12;
const FOOT: usize = 4;

/// A masked CRC-32C.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Adds a record.
pub(super) fn append(out: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&masked_crc(&length).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&masked_crc(data).to_le_bytes());
}

/// The records at the beginning of `bytes` that are whole, and how many bytes they take. What a killed process left behind them
/// is no record.
pub(super) fn whole(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some(record) = next(&bytes[at..]) {
        at += HEAD + record.len() + FOOT;
        records.push(record);
    }
    (records, at)
}

fn next(bytes: &[u8]) -> Option<&[u8]> {
    let word = |from: usize| Some(u32::from_le_bytes(bytes.get(from..from + 4)?.try_into().ok()?));
    let length = bytes.get(..8)?;
    if word(8)? != masked_crc(length) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let data = bytes.get(HEAD..HEAD.checked_add(length)?)?;
    (word(HEAD + length)? == masked_crc(data)).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // CRC-32C of "123456789" is the check value of RFC 3720; the mask is that of the format's description.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn whatever_is_cut_or_changed_is_no_record() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"one");
        let first = bytes.len();
        append(&mut bytes, b"");
        append(&mut bytes, b"three");
        assert_eq!(whole(&bytes), (vec![&b"one"[..], &b""[..], &b"three"[..]], bytes.len()));
        for cut in first..first + HEAD + FOOT {
            assert_eq!(whole(&bytes[..cut]), (vec![&b"one"[..]], first), "{cut}");
        }
        for place in 0..first {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            assert_eq!(whole(&changed).1, 0, "{place}");
        }
    }
}
