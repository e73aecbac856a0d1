//! Reading a pickle for the tensors that it names. Nothing in it is run: a call is noted, and a few are understood.
//!
//! This is the part of the format (`pickletools` of Python's library documents it) that `torch.save` writes.

use std::collections::HashMap;

/// Most values of one pickle. The largest state dicts have some ten thousand tensors of about twenty values each.
const MOST: usize = 1 << 22;

/// Number of a value in [`Pickle::values`].
pub(super) type Id = usize;

/// A value. Others are referred to by number, as a pickle may fill a dictionary after it has referred to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    /// An integer of more than eight bytes, little endian.
    Long(Vec<u8>),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Keys and values in order.
    Dict(Vec<(Id, Id)>),
    /// A function or class: module and name.
    Global(String, String),
    /// What a call was made of: function and arguments.
    Call(Id, Id),
    /// Something outside of the pickle, by its description.
    Persistent(Id),
    /// None, a float, what a class would have made: nothing that a tensor is made of.
    Other,
}

/// One pickle, read.
pub(super) struct Pickle {
    values: Vec<Value>,
    /// What it is of.
    pub(super) root: Id,
}

impl Pickle {
    /// Reads one from the start of `bytes`, and says how long it was.
    ///
    /// # Errors
    /// What is wrong or not understood.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), String> {
        let mut reader =
            Reader { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            let start = reader.at;
            match reader.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok((Self { values: reader.values, root }, reader.at)),
                Err(what) => return Err(format!("a pickle that is not understood at byte {start}: {what}")),
            }
            if reader.values.len() > MOST {
                return Err(format!("a pickle of more than {MOST} values"));
            }
        }
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// The values of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer that counts something.
    pub(super) fn count(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn counts(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id)?.iter().map(|id| self.count(*id)).collect()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Reader<'a> {
    /// One instruction; the result after the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        match self.byte()? {
            // PROTO, FRAME.
            0x80 => _ = self.take(1)?,
            0x95 => _ = self.take(8)?,
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
            b'q' => {
                let key = self.byte()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = self.u32()?;
                self.remember(key)?;
            }
            0x94 => {
                let key = u32::try_from(self.memo.len()).map_err(|error| error.to_string())?;
                self.remember(key)?;
            }
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = self.u32()?;
                self.recall(key)?;
            }
            // NONE, NEWTRUE, NEWFALSE, BINFLOAT.
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            // BININT, BININT1, BININT2, LONG1.
            b'J' => {
                let value = self.u32()?.cast_signed();
                self.push(Value::Int(value.into()));
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes([self.byte()?, self.byte()?]);
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let length = self.byte()?;
                let value = self.take(length.into())?;
                self.push(long(value));
            }
            // BINUNICODE, SHORT_BINUNICODE, and the strings of Python 2.
            b'X' | b'T' => {
                let length = self.u32()?;
                self.text(length as usize)?;
            }
            0x8c | b'U' => {
                let length = self.byte()?;
                self.text(length.into())?;
            }
            // Bytes.
            b'B' => {
                let length = self.u32()?;
                self.take(length as usize)?;
                self.push(Value::Other);
            }
            b'C' => {
                let length = self.byte()?;
                self.take(length.into())?;
                self.push(Value::Other);
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            count @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(count - 0x84)).ok_or(EMPTY)?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items));
            }
            // APPEND, APPENDS, SETITEM, SETITEMS.
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.above_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.above_mark()?;
                self.insert(&items)?;
            }
            // GLOBAL, STACK_GLOBAL.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (Value::Text(module), Value::Text(name)) => {
                        let global = Value::Global(module.clone(), name.clone());
                        self.push(global);
                    }
                    _ => return Err("a name that is no text".to_owned()),
                }
            }
            // REDUCE, NEWOBJ.
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments);
            }
            // BUILD gives an object its attributes, and leaves the object.
            b'b' => _ = self.pop()?,
            b'Q' => {
                let description = self.pop()?;
                self.push(Value::Persistent(description));
            }
            other => return Err(format!("instruction {other:#04x}")),
        }
        Ok(None)
    }

    /// An ordered dictionary is a dictionary, a parameter its tensor, and everything else a note of a call.
    fn call(&mut self, function: Id, arguments: Id) {
        let value = match (&self.values[function], &self.values[arguments]) {
            (Value::Global(module, name), Value::Tuple(items)) => match (module.as_str(), name.as_str(), &items[..]) {
                ("collections", "OrderedDict", []) => Value::Dict(Vec::new()),
                ("torch._utils", "_rebuild_parameter", [tensor, ..]) => self.values[*tensor].clone(),
                _ => Value::Call(function, arguments),
            },
            _ => Value::Call(function, arguments),
        };
        self.push(value);
    }

    fn append(&mut self, more: &[Id]) -> Result<(), String> {
        let list = *self.stack.last().ok_or(EMPTY)?;
        match &mut self.values[list] {
            Value::List(items) => items.extend(more),
            _ => return Err("items for what is no list".to_owned()),
        }
        Ok(())
    }

    fn insert(&mut self, more: &[Id]) -> Result<(), String> {
        let dict = *self.stack.last().ok_or(EMPTY)?;
        let (pairs, rest) = more.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".to_owned());
        }
        match &mut self.values[dict] {
            Value::Dict(items) => items.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            // An object that acts like a dictionary.
            Value::Call(..) => {}
            _ => return Err("keys for what is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, String> {
        // Not below the last mark: what lies there is another's.
        let lowest = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= lowest {
            return Err(EMPTY.to_owned());
        }
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark")?;
        if mark > self.stack.len() {
            return Err(EMPTY.to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let last = *self.stack.last().ok_or(EMPTY)?;
        self.memo.insert(key, last);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("nothing remembered as {key}"))?;
        self.stack.push(id);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let bytes = self.bytes[self.at..].get(..count).ok_or("the file ends")?;
        self.at += count;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]))
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
        self.push(Value::Text(text.to_owned()));
        Ok(())
    }

    /// Up to the end of the line.
    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes[self.at..].iter().position(|byte| *byte == b'\n').ok_or("the file ends")?;
        let line = self.take(end + 1)?;
        String::from_utf8(line[..end].to_vec()).map_err(|error| error.to_string())
    }
}

const EMPTY: &str = "nothing left to work on";

/// An integer in little-endian two's complement.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes.to_vec());
    }
    let fill = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
    let mut all = [fill; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Pickle, usize), String> {
        Pickle::read(bytes)
    }

    #[test]
    fn values_of_all_kinds() {
        // pickle.dumps([1, 300, -2, "ab", (None, 1.5), {"k": 7}], 2) and one byte more.
        let bytes =
            b"\x80\x02]q\x00(K\x01M,\x01J\xfe\xff\xff\xffX\x02\x00\x00\x00abq\x01NG?\xf8\x00\x00\x00\x00\x00\x00\
                      \x86q\x02}q\x03X\x01\x00\x00\x00kq\x04K\x07se.!";
        let (pickle, length) = read(bytes).unwrap();
        assert_eq!(length, bytes.len() - 1);
        let items = pickle.items(pickle.root).unwrap();
        let ints: Vec<&Value> = items[..3].iter().map(|id| pickle.get(*id)).collect();
        assert_eq!(ints, [&Value::Int(1), &Value::Int(300), &Value::Int(-2)]);
        assert_eq!(pickle.text(items[3]), Some("ab"));
        assert_eq!(pickle.items(items[4]).unwrap().len(), 2);
        let Value::Dict(pairs) = pickle.get(items[5]) else { panic!() };
        assert_eq!((pickle.text(pairs[0].0), pickle.count(pairs[0].1)), (Some("k"), Some(7)));
    }

    #[test]
    fn long_integers_have_signs() {
        assert_eq!(long(&[0xff]), Value::Int(-1));
        assert_eq!(long(&[0xff, 0x00]), Value::Int(255));
        assert_eq!(long(&[]), Value::Int(0));
        assert_eq!(long(&[1; 10]), Value::Long(vec![1; 10]));
    }

    #[test]
    fn calls_are_noted_and_not_made() {
        // os.system("x").
        let (pickle, _) = read(b"cos\nsystem\nX\x01\x00\x00\x00x\x85R.").unwrap();
        assert!(matches!(pickle.get(pickle.root), Value::Call(..)));
    }

    #[test]
    fn what_is_cut_or_senseless_is_refused() {
        let whole = b"\x80\x02]q\x00(K\x01X\x02\x00\x00\x00abe.";
        assert!(read(whole).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        for bytes in [&b"."[..], b"e.", b"h\x00.", b"K\x01K\x02a.", b"(0.", b"]K\x01K\x02s.", b"}(K\x01u.", b"\xfe."] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
