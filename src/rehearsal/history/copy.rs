//! COPY of computed rows, a piece at a time.

use sqlx::PgConnection;

const PIECE: usize = 1 << 19;

/// Empties a table and fills it with rows `0..count`, in one transaction; returns how many it took.
///
/// Emptied in the same transaction, the table needs no write-ahead log (`wal_level=minimal`), and FREEZE makes it
/// all-visible at once, so that index-only scans work without a vacuum.
pub(super) async fn fill(
    connection: &mut PgConnection,
    truncate: &'static str,
    copy: &'static str,
    count: u64,
    row: impl Fn(&mut Vec<u8>, u64),
) -> Result<u64, sqlx::Error> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    sqlx::raw_sql(truncate).execute(&mut *connection).await?;
    let mut stream = connection.copy_in_raw(copy).await?;
    let mut piece = Vec::with_capacity(PIECE + 8192);
    for number in 0..count {
        row(&mut piece, number);
        if piece.len() >= PIECE {
            stream.send(piece.as_slice()).await?;
            piece.clear();
            tokio::task::yield_now().await; // the other tables are filled by the same runtime
        }
    }
    stream.send(piece.as_slice()).await?;
    let taken = stream.finish().await?;
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(taken)
}
