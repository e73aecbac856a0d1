//! Writing embeddings that are all there at once.

use super::{Layout, Row, writer::Writer};
use crate::{
    error::{Error, Result},
    execute::Job,
    protocol::Artifact,
    task::{Output, Task},
};

/// Writes `rows` (id and `width` values) as the embeddings of `member`, in its task's dtype. Each file is there whole or not at all,
/// and the manifest, which is written last, only after all the values.
///
/// # Errors
/// [`Error::Input`] when there are no rows, an id is empty or there twice, a row is not `width` long, a value is not finite, or the
/// task asks for another output than one vector a sample; [`Error::Io`] when a file cannot be written.
pub fn write(job: &Job, member: usize, width: usize, rows: &[(&str, &[f32])]) -> Result<Vec<Artifact>> {
    let dtype = match &job.leases[member].task {
        Task::Embed(task) => {
            only_pooled(task.output)?;
            task.dtype
        }
        other => return Err(Error::input(format!("a {} trial makes no embeddings", other.kind().name()))),
    };
    let ids = rows.iter().map(|(id, _)| (*id).to_owned()).collect();
    let writer = Writer::new(job, member, Layout::pooled(width, dtype), ids)?;
    for shard in 0..writer.shards() {
        let rows = rows[writer.rows(shard)].iter().map(|(_, row)| Row::Values(vec![row.to_vec()]));
        writer.put(shard, rows.collect())?;
    }
    Ok(writer.finish()?.0)
}

/// Refuses outputs that an encoder with one vector a sample has not.
///
/// # Errors
/// [`Error::Input`].
pub(crate) fn only_pooled(output: Output) -> Result<()> {
    match output {
        Output::Pooled => Ok(()),
        Output::Tokens | Output::Maps => Err(Error::Input {
            what: format!("this encoder makes one vector a sample, and no {output:?}").to_lowercase(),
            cure: Some("set `output: pooled`, or take an image encoder".to_owned()),
        }),
    }
}
