//! What the model remembers. Small numbers and no clocks: every time is an age in ticks that stops at its bound.

/// A timeline, and at once the server that has it: 1 is the first primary, 2 the promoted standby, 0 none.
pub type Timeline = u8;

/// A set of revocations, or of transaction ids, as bits.
pub type Bits = u8;

/// How many revocations a state has room for.
pub const ROOM: usize = 2;

/// The age of something that has not happened.
pub const NEVER: u8 = u8::MAX;

/// Whether the bit is set.
pub const fn has(bits: Bits, index: usize) -> bool {
    bits & (1 << index) != 0
}

/// A row of `readers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    /// Whether it exists.
    pub present: bool,
    /// The snapshot of the last applied answer, as the reader's last beat gave it.
    pub snapshot: Snapshot,
}

/// A `pg_snapshot`, as far as revocations go: those transaction ids that are visible in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The timeline whose transaction ids it speaks of; 0 for the empty snapshot.
    pub timeline: Timeline,
    /// The transaction ids.
    pub xids: Bits,
}

/// A database server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Server {
    /// Each revocation's transaction id plus one, once it is in the log; else 0.
    pub xid: [u8; ROOM],
    /// The revocations that readers of this server see.
    pub visible: Bits,
    /// The revocations of the log that the standby has flushed.
    pub flushed: Bits,
    /// The reader's row as it is seen.
    pub row: Row,
    /// The reader's row as it is in the log: ahead of `row` while a commit waits for the standby.
    pub row_log: Row,
}

impl Server {
    /// The transaction ids visible now.
    pub fn xids(&self) -> Bits {
        (0..ROOM)
            .filter(|&x| has(self.visible, x))
            .fold(0, |xids, x| xids | 1 << (self.xid[x] - 1))
    }

    /// Puts a revocation into the log under the next free transaction id.
    pub fn insert(&mut self, x: usize) {
        let used = self.xid;
        self.xid[x] = (1..NEVER).find(|xid| !used.contains(xid)).unwrap_or(NEVER);
    }

    /// Whether the log has the revocation.
    pub const fn holds(&self, x: usize) -> bool {
        self.xid[x] != 0
    }
}

/// What a reader asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Put my row there.
    Register,
    /// What is there, all of it?
    Load,
    /// What is new since my last answer?
    Beat,
}

/// How far a question has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// On its way to the server.
    Sent,
    /// Its snapshot is taken, nothing is written.
    Executed,
    /// Written to the log; the standby's flush is awaited, or has come.
    Waiting {
        /// The standby has it.
        flushed: bool,
    },
    /// Committed; the answer is on its way.
    Answered,
}

/// A question in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// What is asked.
    pub question: Question,
    /// Whom.
    pub server: Timeline,
    /// Ticks of the reader's clock since it was sent, at most L.
    pub age: u8,
    /// The timeline that the question names.
    pub named: Timeline,
    /// The snapshot that the question names.
    pub since: Snapshot,
    /// What the reader held when it sent this.
    pub held: Bits,
    /// How far it has got.
    pub stage: Stage,
    /// The transaction ids visible to it.
    pub sees: Bits,
    /// The revocations that the answer brings.
    pub brings: Bits,
    /// Whether it found its reader's row and may write it.
    pub hit: bool,
    /// Whether the reader has given it up.
    pub orphan: bool,
}

/// The instance that is watched for accepting what is revoked. It stands for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    /// It is up.
    pub up: bool,
    /// It has deleted its row on the way down.
    pub stopping: bool,
    /// The highest timeline that it has met.
    pub met: Timeline,
    /// Where it is registered.
    pub registered: Timeline,
    /// It has loaded since it registered.
    pub loaded: bool,
    /// The revocations that it holds.
    pub set: Bits,
    /// The snapshot of its last applied answer.
    pub snapshot: Snapshot,
    /// Ticks left.
    pub lease: u8,
    /// Ticks since its clock last stood still, at most L.
    pub steady: u8,
    /// A validation between its two looks: what the first look found.
    pub looking: Option<Bits>,
    /// How often it may still go down.
    pub restarts: u8,
}

/// How far a revocation has got, as its waiter knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Not yet asked for.
    #[default]
    Idle,
    /// COMMIT is sent, its answer not there.
    Sent,
    /// COMMIT is answered.
    Committed,
    /// Answered `everywhere` since all rows show it.
    EverywhereEarly,
    /// Answered `everywhere` since the bound has passed.
    EverywhereByTimer,
    /// The waiter is gone; nobody will answer.
    Abandoned,
}

/// A revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// How far it has got.
    pub progress: Progress,
    /// The timeline on which the waiter's bound runs.
    pub timeline: Timeline,
    /// Ticks of the waiter's bound, or [`NEVER`].
    pub waited: u8,
    /// Ticks since its COMMIT was first answered, or since it came back to a timeline that lacked it; or [`NEVER`].
    pub age: u8,
}

/// The instance that revokes, watches the rows, and deletes dead ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// The server it talks to; 0 while it is down.
    pub server: Timeline,
    /// Ticks since it first saw this timeline, or started; at most bound + fence.
    pub on_timeline: u8,
    /// Ticks since it saw the row change, at most the bound.
    pub row_age: u8,
    /// The row has changed since it last looked.
    pub row_changed: bool,
    /// How often it may still go down.
    pub restarts: u8,
}

/// Everything.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is so or not, independently"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The two servers; the second is a standby until promoted.
    pub servers: [Server; 2],
    /// The first server is up.
    pub first_alive: bool,
    /// The second has been promoted.
    pub promoted: bool,
    /// Ticks since then while the first is up, at most the fence.
    pub deposed_for: u8,
    /// The reader.
    pub reader: Reader,
    /// Its questions in flight.
    pub messages: [Option<Message>; 2],
    /// The waiter.
    pub waiter: Waiter,
    /// The revocations.
    pub revocations: [Revocation; ROOM],
    /// A slow validation accepted what had been answered `everywhere`.
    pub accepted_late: bool,
    /// The reader accepts again what it refused before.
    pub forgot: bool,
    /// A dead row was deleted.
    pub swept: bool,
}

impl State {
    /// The server of that timeline.
    pub const fn server(&self, timeline: Timeline) -> &Server {
        &self.servers[timeline as usize - 1]
    }

    /// The same, to change it.
    pub const fn server_mut(&mut self, timeline: Timeline) -> &mut Server {
        &mut self.servers[timeline as usize - 1]
    }

    /// Whether a server of that timeline takes questions.
    pub const fn open(&self, timeline: Timeline) -> bool {
        match timeline {
            1 => self.first_alive,
            2 => self.promoted,
            _ => false,
        }
    }

    /// Whether the reader would accept a token that the revocation ends.
    pub const fn accepts(&self, x: usize) -> bool {
        self.reader.up && self.reader.lease > 0 && !has(self.reader.set, x)
    }

    /// Whether the revocation has been answered `everywhere`.
    pub const fn everywhere(&self, x: usize) -> bool {
        matches!(
            self.revocations[x].progress,
            Progress::EverywhereEarly | Progress::EverywhereByTimer
        )
    }

    /// Whether a commit that waits for the standby holds the lock of the reader's row.
    pub fn locked(&self, timeline: Timeline) -> bool {
        let waits = |message: &Message| {
            message.server == timeline && matches!(message.stage, Stage::Waiting { .. })
        };
        self.messages.iter().flatten().any(waits)
    }

    /// Shows a row to those who read this server.
    pub fn show_row(&mut self, timeline: Timeline, row: Row) {
        let server = self.server_mut(timeline);
        server.row = row;
        server.row_log = row;
        if self.waiter.server == timeline {
            self.waiter.row_changed = true;
        }
    }
}
