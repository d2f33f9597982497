//! What the linker put where, as lld tells with `-Map`.

/// The code of one function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Of its first instruction, in the program's file.
    pub(super) address: u64,
    /// E.g. `.text._ZN3sso4main17h0123456789abcdefE`.
    pub(super) name: String,
}

/// The sections that hold one function each. Those of assembler and of C libraries that were built
/// without such sections are called `.text` and hold many: nobody knows where the next one begins.
pub(super) fn functions(map: &str) -> Vec<Section> {
    map.lines().filter_map(function).collect()
}

/// Of a line with address, load address, size, alignment, and `<file>:(<section>)`.
fn function(line: &str) -> Option<Section> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let size = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    let (_, name) = line.strip_suffix(')')?.rsplit_once(":(")?;
    let is_function = size > 0 && name.starts_with(".text.");
    is_function.then(|| Section {
        address,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_one_function_are_read() {
        let map = "             VMA              LMA     Size Align Out     In      Symbol
          615fc0           615fc0  5b9701    64 .text.resident
          615fc0           615fc0       1c    16         sso.o:(.text._ZN3sso4main17h01E)
          615fc0           615fc0       1c     1                 _ZN3sso4main17h01E
          615fdc           615fdc        0    16         sso.o:(.text.nothing)
          616000           616000      a10    64         libc.a(memcpy.o):(.text)
";
        let main = Section {
            address: 0x61_5fc0,
            name: ".text._ZN3sso4main17h01E".to_owned(),
        };
        assert_eq!(functions(map), [main]);
    }
}
