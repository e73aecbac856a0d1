//! Columns as a Parquet file, for pandas, pyarrow, DuckDB and whatever else reads them.

use std::{collections::HashSet, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError as LibraryError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type,
};

/// Rows of a row group: what a reader holds at once.
const GROUP_ROWS: usize = 1 << 17;

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name, which no other column has.
    pub name: String,
    /// A value a row, or none.
    pub values: Values,
}

/// Values of one type. None is a null.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Whole numbers: INT64.
    Integer(Vec<Option<i64>>),
    /// Numbers: DOUBLE.
    Real(Vec<Option<f64>>),
    /// UTF-8: BYTE_ARRAY of logical type String.
    Text(Vec<Option<String>>),
    /// BOOLEAN.
    Boolean(Vec<Option<bool>>),
    /// Moments in milliseconds since 1970 UTC: INT64 of logical type Timestamp.
    Time(Vec<Option<i64>>),
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// Columns of one table have different numbers of rows.
    #[error("column `{name}` has {found} rows, the first one {wanted}")]
    Lengths {
        /// The column.
        name: String,
        /// Its rows.
        found: usize,
        /// Rows of the first column.
        wanted: usize,
    },
    /// Two columns have one name.
    #[error("there are two columns `{0}`")]
    Twice(String),
    /// The library says so.
    #[error("no Parquet file can be made: {0}")]
    Library(#[from] LibraryError),
}

impl Values {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Integer(values) | Self::Time(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Boolean(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn types(&self) -> (Physical, Option<LogicalType>) {
        match self {
            Self::Integer(_) => (Physical::INT64, None),
            Self::Real(_) => (Physical::DOUBLE, None),
            Self::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Boolean(_) => (Physical::BOOLEAN, None),
            Self::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        }
    }
}

/// A Parquet file with these columns, in this order. All of them are nullable, and compressed with Snappy.
///
/// # Errors
/// [`ParquetError`].
pub fn write(columns: &[Column]) -> Result<Vec<u8>, ParquetError> {
    let mut file = Writer::new(columns)?;
    file.append(columns)?;
    file.finish()
}

/// A Parquet file that grows by parts of a table, for tables that are too large to be held as columns.
pub struct Writer {
    file: SerializedFileWriter<Vec<u8>>,
    names: Vec<String>,
}

impl Writer {
    /// An empty file with the names and types of these columns.
    ///
    /// # Errors
    /// [`ParquetError`].
    pub fn new(like: &[Column]) -> Result<Self, ParquetError> {
        let mut names = HashSet::new();
        let mut fields = Vec::with_capacity(like.len());
        for Column { name, values } in like {
            if !names.insert(name.as_str()) {
                return Err(ParquetError::Twice(name.clone()));
            }
            let (physical, logical) = values.types();
            let field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()?;
            fields.push(Arc::new(field));
        }
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("permafrost ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        Ok(Self { file, names: like.iter().map(|column| column.name.clone()).collect() })
    }

    /// More rows, of columns like those that it was made with.
    ///
    /// # Errors
    /// [`ParquetError`].
    pub fn append(&mut self, columns: &[Column]) -> Result<(), ParquetError> {
        let rows = columns.first().map_or(0, |column| column.values.len());
        if let Some(column) = columns.iter().find(|column| column.values.len() != rows) {
            let (name, found) = (column.name.clone(), column.values.len());
            return Err(ParquetError::Lengths { name, found, wanted: rows });
        }
        if !columns.iter().map(|column| &column.name).eq(&self.names) {
            return Err(LibraryError::General("the columns are others than those of the file".to_owned()).into());
        }
        for start in (0..rows).step_by(GROUP_ROWS) {
            let range = start..rows.min(start + GROUP_ROWS);
            let mut group = self.file.next_row_group()?;
            for Column { values, .. } in columns {
                match values {
                    Values::Integer(values) | Values::Time(values) => {
                        put::<Int64Type, _>(&mut group, &values[range.clone()], |value| *value)?;
                    }
                    Values::Real(values) => put::<DoubleType, _>(&mut group, &values[range.clone()], |value| *value)?,
                    Values::Boolean(values) => put::<BoolType, _>(&mut group, &values[range.clone()], |value| *value)?,
                    Values::Text(values) => {
                        let bytes = |text: &String| ByteArray::from(text.as_str());
                        put::<ByteArrayType, _>(&mut group, &values[range.clone()], bytes)?;
                    }
                }
            }
            group.close()?;
        }
        Ok(())
    }

    /// The whole file.
    ///
    /// # Errors
    /// [`ParquetError`].
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        Ok(self.file.into_inner()?)
    }
}

/// The next column of a row group.
fn put<T: DataType, V>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[Option<V>],
    convert: impl Fn(&V) -> T::T,
) -> Result<(), LibraryError> {
    let Some(mut column) = group.next_column()? else {
        return Err(LibraryError::General("there are fewer columns than values".to_owned()));
    };
    let present: Vec<T::T> = values.iter().flatten().map(convert).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write};

    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;

    fn open(bytes: &[u8]) -> SerializedFileReader<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SerializedFileReader::new(file).unwrap()
    }

    fn column(name: &str, values: Values) -> Column {
        Column { name: name.to_owned(), values }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let rows = GROUP_ROWS + 3;
        let some = |row: usize| !row.is_multiple_of(3);
        let columns = [
            column("whole", Values::Integer((0..rows).map(|row| some(row).then_some(row as i64 - 5)).collect())),
            column("real", Values::Real((0..rows).map(|row| some(row).then_some(row as f64 / 7.0)).collect())),
            column("text", Values::Text((0..rows).map(|row| some(row).then(|| format!("ä{}", row % 10))).collect())),
            column("flag", Values::Boolean((0..rows).map(|row| some(row).then_some(row % 2 == 0)).collect())),
            column("at", Values::Time((0..rows).map(|row| some(row).then_some(row as i64)).collect())),
        ];
        let reader = open(&write(&columns).unwrap());
        assert_eq!(reader.num_row_groups(), 2);
        let mut seen = 0;
        for (row, read) in reader.get_row_iter(None).unwrap().enumerate() {
            let read = read.unwrap();
            assert_eq!(read.len(), 5);
            if some(row) {
                assert_eq!(read.get_long(0).unwrap(), row as i64 - 5);
                assert_eq!(read.get_double(1).unwrap(), row as f64 / 7.0);
                assert_eq!(*read.get_string(2).unwrap(), format!("ä{}", row % 10));
                assert_eq!(read.get_bool(3).unwrap(), row % 2 == 0);
                assert_eq!(read.get_timestamp_millis(4).unwrap(), row as i64);
            } else {
                assert!(read.get_column_iter().all(|(_, field)| *field == parquet::record::Field::Null));
            }
            seen += 1;
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn a_table_without_rows_keeps_its_columns() {
        let reader = open(&write(&[column("a", Values::Real(vec![]))]).unwrap());
        assert_eq!(reader.metadata().file_metadata().schema_descr().column(0).name(), "a");
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let error = write(&[column("a", Values::Real(vec![None])), column("b", Values::Real(vec![]))]).unwrap_err();
        assert_eq!(error.to_string(), "column `b` has 0 rows, the first one 1");
        let error = write(&[column("a", Values::Real(vec![])), column("a", Values::Text(vec![]))]).unwrap_err();
        assert_eq!(error.to_string(), "there are two columns `a`");
    }
}
