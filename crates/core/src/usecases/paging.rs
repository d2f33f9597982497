//! Lists in pages, by cursors that clients carry and cannot make.

use crate::{
    failure::{BadFields, FieldError, Fields},
    sso::Sso,
};

/// As many as a page has if nothing is said.
pub const DEFAULT_PAGE: u32 = 100;
/// As many as a page has at most.
pub const MAX_PAGE: u32 = 1000;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// At most this many; 0 is [`DEFAULT_PAGE`].
    pub limit: u32,
    /// Where the page before ended; `""` for the first.
    pub cursor: &'a str,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Where the next one begins, if there is more.
    pub next: Option<String>,
}

/// The place after which the page of the list `query` begins, and its size.
pub(super) fn parse<T>(
    sso: &Sso,
    query: &str,
    ask: Ask<'_>,
    read: impl FnOnce(&[u8]) -> Option<T>,
    mut fields: Fields,
) -> Result<(Option<T>, u32), BadFields> {
    fields.reach("limit");
    let size = fields.take(match ask.limit {
        0 => Ok(DEFAULT_PAGE),
        limit @ 1..=MAX_PAGE => Ok(limit),
        _ => Err(FieldError::new(
            "limit",
            "out_of_range",
            format!("limit must be at most {MAX_PAGE}"),
        )),
    });
    let after = fields.optional("cursor", Some(ask.cursor), |cursor| {
        let place = sso.cursors.open(query, cursor);
        place.as_deref().and_then(read).ok_or_else(|| {
            let why = "cursor must be next_cursor of an answer to this very list";
            FieldError::new("cursor", "invalid_cursor", why)
        })
    });
    let size = fields.finish(size)?;
    Ok((after, size))
}

/// A page of `size` of the items, of which there is one more if there is a next page.
pub(super) fn cut<T>(
    sso: &Sso,
    query: &str,
    mut items: Vec<T>,
    size: u32,
    place: impl FnOnce(&T) -> Vec<u8>,
) -> Page<T> {
    let size = size as usize;
    let more = items.len() > size;
    items.truncate(size);
    let last = items.last().filter(|_| more);
    let next = last.map(|item| sso.cursors.seal(query, &place(item)));
    Page { items, next }
}
