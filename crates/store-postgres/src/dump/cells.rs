//! Cells as PostgreSQL has them.

use std::{error::Error, net::IpAddr};

use bytes::BytesMut;
use sso_core::ports::dump::{Cell, Kind};
use time::{Date, OffsetDateTime};
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use uuid::Uuid;

/// What PostgreSQL says of a column.
pub(super) struct Column {
    pub(super) sql_type: Type,
}

impl Column {
    /// The cell of this column, the `at`th of `row`; `None`: it is none of this kind.
    pub(super) fn cell(&self, row: &Row, at: usize, kind: Kind) -> Option<Cell> {
        match kind {
            Kind::Bool => get(row, at, Cell::Bool),
            Kind::Integer if self.sql_type == Type::INT2 => {
                get(row, at, |number: i16| Cell::Integer(number.into()))
            }
            Kind::Integer if self.sql_type == Type::INT4 => {
                get(row, at, |number: i32| Cell::Integer(number.into()))
            }
            Kind::Integer => get(row, at, Cell::Integer),
            Kind::Network => get(row, at, |bits: i64| Cell::Network(bits.cast_unsigned())),
            Kind::Text => get(row, at, Cell::Text),
            Kind::Bytes => get(row, at, Cell::Bytes),
            Kind::Id => get(row, at, Cell::Id),
            Kind::Time => get(row, at, Cell::Time),
            Kind::Day => get(row, at, Cell::Day),
            Kind::Address => get(row, at, Cell::Address),
        }
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize, cell: impl FnOnce(T) -> Cell) -> Option<Cell> {
    let value: Option<T> = row.try_get(at).ok()?;
    Some(value.map_or(Cell::Null, cell))
}

/// A cell that is to be stored.
#[derive(Debug)]
pub(super) struct Sql<'a>(pub(super) &'a Cell);

impl ToSql for Sql<'_> {
    fn to_sql(
        &self,
        sql_type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Cell::Null => Ok(IsNull::Yes),
            Cell::Bool(yes) => yes.to_sql(sql_type, out),
            Cell::Integer(number) if *sql_type == Type::INT2 => {
                i16::try_from(*number)?.to_sql(sql_type, out)
            }
            Cell::Integer(number) if *sql_type == Type::INT4 => {
                i32::try_from(*number)?.to_sql(sql_type, out)
            }
            Cell::Integer(number) => number.to_sql(sql_type, out),
            Cell::Network(bits) => bits.cast_signed().to_sql(sql_type, out),
            Cell::Text(text) => text.to_sql(sql_type, out),
            Cell::Bytes(bytes) => bytes.to_sql(sql_type, out),
            Cell::Id(id) => id.to_sql(sql_type, out),
            Cell::Time(time) => time.to_sql(sql_type, out),
            Cell::Day(day) => day.to_sql(sql_type, out),
            Cell::Address(address) => address.to_sql(sql_type, out),
        }
    }

    /// Whatever a cell can be.
    fn accepts(sql_type: &Type) -> bool {
        *sql_type == Type::INT2
            || *sql_type == Type::INT4
            || <i64 as ToSql>::accepts(sql_type)
            || <bool as ToSql>::accepts(sql_type)
            || <String as ToSql>::accepts(sql_type)
            || <Vec<u8> as ToSql>::accepts(sql_type)
            || <Uuid as ToSql>::accepts(sql_type)
            || <OffsetDateTime as ToSql>::accepts(sql_type)
            || <Date as ToSql>::accepts(sql_type)
            || <IpAddr as ToSql>::accepts(sql_type)
    }

    to_sql_checked!();
}
