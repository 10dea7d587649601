-- The schema of trace.db, version 1. Every time is in nanoseconds since the run's start unless its comment says otherwise;
-- what is not known is NULL. The comments here fill the table `help`, so that the file explains itself.

-- Facts about the file.
CREATE TABLE meta (
  key TEXT PRIMARY KEY, -- name of the fact
  value TEXT            -- its value
) WITHOUT ROWID;

-- One row per run: one execution of a command, with one or more processes.
CREATE TABLE run (
  run INTEGER PRIMARY KEY,     -- number of the run in this file, from 1
  label TEXT,                  -- name given with --label
  command TEXT NOT NULL,       -- the command as one would type it
  argv TEXT NOT NULL,          -- program and arguments, a JSON array
  cwd TEXT,                    -- folder it ran in
  status TEXT NOT NULL,        -- recording, ok, failed (exit code not 0), timed out, cut (killed by a signal; of a recovered run: its trace has no end)
  exit_code INTEGER,           -- exit code of the command; NULL when a signal ended it
  signal INTEGER,              -- number of the signal that ended it
  started_realtime_ns INTEGER NOT NULL,  -- start, CLOCK_REALTIME, ns since 1970
  started_boottime_ns INTEGER NOT NULL,  -- start, CLOCK_BOOTTIME, ns
  started_monotonic_ns INTEGER NOT NULL, -- start, CLOCK_MONOTONIC, ns: the zero of every ts of this run
  duration_ns INTEGER,         -- from start to end of the command as the recorder saw it, ns; of a recovered run: to its last event
  procs INTEGER,               -- P count at the start of the first process
  policy TEXT,                 -- the policy, every knob that differs from the default (empty: Go's)
  host TEXT,                   -- host name
  boot_id TEXT,                -- id of this boot of the host
  kernel TEXT,                 -- kernel release
  cpu_model TEXT,              -- model name of the first CPU
  cpus INTEGER,                -- CPUs that the command could run on
  cpu_list TEXT,               -- which ones, in the kernel's list form
  smt TEXT,                    -- simultaneous multithreading: on, off, or notsupported, as the kernel says it
  clock_kind TEXT,             -- what ticks: tsc (invariant time stamp counter) or monotonic (CLOCK_MONOTONIC)
  tick_hz REAL,                -- ticks per second
  event_cost_ns REAL,          -- cost of writing one event, measured by the recorder on this machine, ns
  counters TEXT,               -- perf counters that were read: comma list, or none
  counters_reason TEXT,        -- why hardware counters are missing, if they are
  counters_probability REAL,   -- probability that a G run interval was bracketed by readings; 1 is every switch
  events INTEGER NOT NULL DEFAULT 0,      -- rows in event
  first_event INTEGER,         -- id of its first row in event
  last_event INTEGER,          -- id of its last row in event; rows of a run recorded at the same time may lie between
  lost INTEGER NOT NULL DEFAULT 0,        -- events that were not recorded
  blocked_ns INTEGER NOT NULL DEFAULT 0,  -- time that writers waited for room in the spool, summed, ns
  unordered INTEGER NOT NULL DEFAULT 0,   -- events whose place in the order could not be found though nothing was lost
  resynced INTEGER NOT NULL DEFAULT 0,    -- events placed by their time after a loss
  spool_bytes INTEGER,         -- size of the spool, bytes
  ingest TEXT NOT NULL,        -- whether the rows are all there: running or done
  recovered INTEGER NOT NULL DEFAULT 0,   -- 1 when gmp-record --recover finished it
  recorder_version TEXT,       -- version of gmp-record
  runtime_version TEXT,        -- version of the runtime that was recorded
  format_version INTEGER,      -- version of the spool format
  experiment TEXT,             -- reserved: the experiment it belongs to
  configuration INTEGER,       -- reserved: which configuration of the experiment
  block INTEGER,               -- reserved: which randomised block
  position INTEGER,            -- reserved: position in the block
  warmup INTEGER               -- reserved: 1 for a warm-up run
);

-- What the run was asked to be: the P count, each knob of the policy, each tag, under one name each.
CREATE TABLE run_param (
  run INTEGER NOT NULL, -- the run
  name TEXT NOT NULL,   -- procs, policy.KNOB, tag.KEY, or pinned_cpus if the policy pins
  value ANY,            -- its value
  unit TEXT,            -- its unit
  PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- What the run achieved: makespan and the figures that the workload reported itself.
CREATE TABLE run_metric (
  run INTEGER NOT NULL, -- the run
  name TEXT NOT NULL,   -- name of the metric
  value REAL,           -- its value
  unit TEXT,            -- its unit
  PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- The processes of a run that started a runtime.
CREATE TABLE process (
  run INTEGER NOT NULL,       -- the run
  process INTEGER NOT NULL,   -- number of the process in the run, from 1
  pid INTEGER NOT NULL,       -- the kernel's number
  parent INTEGER,             -- the kernel's number of its parent
  started_boottime_ns INTEGER, -- when its runtime started, CLOCK_BOOTTIME, ns
  executable TEXT,            -- path of its program
  host TEXT,                  -- host name
  boot_id TEXT,               -- id of the boot
  finished INTEGER NOT NULL,  -- 1 when its runtime ended properly, 0 when it was cut
  clock_kind TEXT NOT NULL,   -- what ticks: tsc or monotonic
  base_ticks INTEGER NOT NULL, -- ticks = base_ticks + (ts - base_ts_ns) * interval_ticks / interval_ns, to the nanosecond
  base_ts_ns INTEGER NOT NULL, -- ts at base_ticks
  interval_ticks INTEGER NOT NULL, -- ticks that passed in interval_ns
  interval_ns INTEGER NOT NULL, -- length of the calibration, ns of CLOCK_MONOTONIC
  first_event INTEGER,        -- id of its first row in event
  last_event INTEGER,         -- id of its last row in event; rows of other processes may lie between
  PRIMARY KEY (run, process)
) WITHOUT ROWID;

-- Facts that the process stated about itself, word for word.
CREATE TABLE process_info (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  key TEXT NOT NULL,        -- name of the fact
  value TEXT NOT NULL,      -- its value
  PRIMARY KEY (run, process, key)
) WITHOUT ROWID;

-- Readings of all clocks close together: at the start, each second and the end.
CREATE TABLE clock (
  run INTEGER NOT NULL,          -- the run
  at_ns INTEGER NOT NULL,        -- when
  ticks INTEGER NOT NULL,        -- the trace's clock, ticks
  monotonic_ns INTEGER NOT NULL, -- CLOCK_MONOTONIC, ns
  monotonic_raw_ns INTEGER NOT NULL, -- CLOCK_MONOTONIC_RAW, ns
  boottime_ns INTEGER NOT NULL,  -- CLOCK_BOOTTIME, ns
  realtime_ns INTEGER NOT NULL,  -- CLOCK_REALTIME, ns since 1970
  uncertainty_ns REAL NOT NULL   -- how long the reading took: ticks and CLOCK_MONOTONIC agree to within this, ns
);

-- Every event, in causal order: id order is a legal history of each process. Columns a1 to a7 depend on the kind: see `vocabulary`.
CREATE TABLE event (
  id INTEGER PRIMARY KEY,   -- position in the order
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  ts INTEGER NOT NULL,      -- when; clocks of two threads may disagree by a little, so ts can step back where id does not
  m INTEGER NOT NULL,       -- the M that says so
  m_seq INTEGER NOT NULL,   -- number of the event in its writer's stream, from 0; a gap is a loss, or a reading of counters
  kind INTEGER NOT NULL,    -- what happened: `vocabulary` has the names
  p INTEGER,                -- the P concerned, else the one that the M holds
  g INTEGER,                -- the G concerned, else the one that the M runs
  by INTEGER,               -- the G that did it, when that is another: the one that the M runs
  seq INTEGER,              -- sequence number of the G or the P, or position in a ring
  a1 INTEGER,               -- argument
  a2 INTEGER,               -- argument
  a3 INTEGER,               -- argument
  a4 INTEGER,               -- argument
  a5 INTEGER,               -- argument
  a6 INTEGER,               -- argument
  a7 INTEGER                -- argument
);

-- Events whose place in the order is not proven.
CREATE TABLE event_note (
  event INTEGER NOT NULL, -- its id
  note TEXT NOT NULL      -- unordered: nothing was lost, and yet it fits nowhere. resynced: placed by its time after a loss
);

-- The meaning of event's columns, by kind.
CREATE TABLE vocabulary (
  kind INTEGER NOT NULL,  -- number of the kind
  name TEXT NOT NULL,     -- its name
  field TEXT NOT NULL,    -- name of an argument; empty for the kind itself
  "column" TEXT,          -- column of event that holds it
  type TEXT,              -- its type: an integer, an id, or a set of words
  words TEXT,             -- the words as JSON: integer to word
  doc TEXT NOT NULL,      -- what it means
  PRIMARY KEY (kind, field)
) WITHOUT ROWID;

-- The Gs.
CREATE TABLE g (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  g INTEGER NOT NULL,       -- number of the G, from 1
  kind TEXT,                -- what it is made of: stackful, future, system
  parent INTEGER,           -- the G that spawned it
  site INTEGER,             -- where it was spawned
  spawn_ts INTEGER,         -- when
  exit_ts INTEGER,          -- when it ended
  PRIMARY KEY (run, process, g)
) WITHOUT ROWID;

-- The threads that emitted events.
CREATE TABLE m (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  m INTEGER NOT NULL,       -- number of the M, from 0
  tid INTEGER,              -- the kernel's number of the thread
  kind TEXT,                -- worker, sysmon, foreign or netpoll
  name TEXT,                -- its name
  start_ts INTEGER,         -- when it began to emit
  exit_ts INTEGER,          -- when it ended
  PRIMARY KEY (run, process, m)
) WITHOUT ROWID;

-- The Ps.
CREATE TABLE p (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  p INTEGER NOT NULL,       -- number of the P, from 0
  PRIMARY KEY (run, process, p)
) WITHOUT ROWID;

-- Places in the program's source.
CREATE TABLE site (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  site INTEGER NOT NULL,    -- number of the site
  file TEXT NOT NULL,       -- source file
  line INTEGER NOT NULL,    -- line, from 1
  col INTEGER NOT NULL,     -- column, from 1
  PRIMARY KEY (run, process, site)
) WITHOUT ROWID;

-- The things that Gs wait for.
CREATE TABLE object (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  object INTEGER NOT NULL,  -- number of the object
  kind TEXT NOT NULL,       -- channel, mutex, timer, socket, ...
  site INTEGER,             -- where it was made
  PRIMARY KEY (run, process, object)
) WITHOUT ROWID;

-- The strings of a process.
CREATE TABLE string (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  string INTEGER NOT NULL,  -- number of the string
  text TEXT NOT NULL,       -- the string
  PRIMARY KEY (run, process, string)
) WITHOUT ROWID;

-- The perf counters of a process.
CREATE TABLE counter_def (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  counter INTEGER NOT NULL, -- number of the counter: column c0 to c7 of `counter`
  name TEXT NOT NULL,       -- its name
  unit TEXT NOT NULL,       -- its unit
  source TEXT NOT NULL,     -- hardware or software
  available INTEGER NOT NULL, -- 1 when it was counted
  reason TEXT,              -- why it was not, or what it leaves out
  PRIMARY KEY (run, process, counter)
) WITHOUT ROWID;

-- Readings of an M's counters: what they counted since the reading before on that M. One whose m_seq follows that of another reading
-- at once is a null reading: it says what a reading itself counts. All of an M, if it ended, are what it counted in its whole life.
CREATE TABLE counter (
  event INTEGER NOT NULL,   -- id of the event that precedes the reading in the order
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  ts INTEGER NOT NULL,      -- when
  m INTEGER NOT NULL,       -- the M
  m_seq INTEGER NOT NULL,   -- number of the event in its writer's stream
  p INTEGER,                -- the P that the M holds
  g INTEGER,                -- the G that the M runs
  enabled_ns INTEGER NOT NULL, -- time that the counters were enabled, ns
  running_ns INTEGER NOT NULL, -- time that they counted, ns; less than enabled_ns when they were multiplexed
  c0 INTEGER, -- counter 0; NULL when it is not available
  c1 INTEGER, -- counter 1
  c2 INTEGER, -- counter 2
  c3 INTEGER, -- counter 3
  c4 INTEGER, -- counter 4
  c5 INTEGER, -- counter 5
  c6 INTEGER, -- counter 6
  c7 INTEGER  -- counter 7
);

-- Spans of the tracing crate.
CREATE TABLE span (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  span INTEGER NOT NULL,    -- number of the span
  parent INTEGER,           -- the span it is part of
  name INTEGER,             -- its name: a string
  fields INTEGER,           -- its fields: a string
  g INTEGER,                -- the G that made it
  open_ts INTEGER,          -- when it was made
  close_ts INTEGER,         -- when it was over
  PRIMARY KEY (run, process, span)
) WITHOUT ROWID;

-- What is missing: each gap in a writer's stream.
CREATE TABLE lost (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  m INTEGER,                -- the M whose events are missing; NULL when that is not known
  before_m_seq INTEGER,     -- number of the first event after the gap; NULL when none came
  n INTEGER,                -- how many are missing; NULL when that is not known
  why TEXT NOT NULL         -- what made them go missing
);

-- The runtime's own counters, kept apart from the events; `gmp-analyze --report check` compares the two.
CREATE TABLE own_counter (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  m INTEGER NOT NULL,       -- the M that counted
  name TEXT NOT NULL,       -- what; lost.KIND: the events of that kind that it lost
  value INTEGER NOT NULL,   -- how many
  PRIMARY KEY (run, process, m, name)
) WITHOUT ROWID;

-- Where the ingest of a run stands; empty when it is done.
CREATE TABLE ingest_cursor (
  run INTEGER NOT NULL,     -- the run
  spool TEXT NOT NULL,      -- folder of the spool
  process INTEGER,          -- the process being read
  events INTEGER NOT NULL,  -- its events that are stored
  PRIMARY KEY (run)
) WITHOUT ROWID;

-- Reserved: stacks of samples and events.
CREATE TABLE stack (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  stack INTEGER NOT NULL,   -- number of the stack
  depth INTEGER NOT NULL,   -- depth of the frame, 0 is the innermost
  frame INTEGER NOT NULL,   -- the frame
  PRIMARY KEY (run, process, stack, depth)
) WITHOUT ROWID;

-- Reserved: frames of stacks.
CREATE TABLE frame (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  frame INTEGER NOT NULL,   -- number of the frame
  function TEXT,            -- name of the function
  file TEXT,                -- source file
  line INTEGER,             -- line
  PRIMARY KEY (run, process, frame)
) WITHOUT ROWID;

-- Reserved: samples of what ran.
CREATE TABLE sample (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  ts INTEGER NOT NULL,      -- when
  m INTEGER,                -- the M
  g INTEGER,                -- the G
  stack INTEGER,            -- the stack
  weight INTEGER            -- what it stands for, ns
);

-- Reserved: switches of threads by the kernel.
CREATE TABLE kernel_switch (
  run INTEGER NOT NULL,     -- the run
  process INTEGER NOT NULL, -- the process
  ts INTEGER NOT NULL,      -- when
  m INTEGER,                -- the M
  cpu INTEGER,              -- the CPU
  switched_in INTEGER,      -- 1 when it got the CPU, 0 when it lost it
  preempted INTEGER         -- 1 when it was still runnable
);

-- What every table and column means.
CREATE TABLE help (
  topic TEXT NOT NULL, -- a table or view
  name TEXT NOT NULL,  -- a column; empty for the table itself
  doc TEXT NOT NULL,   -- its meaning, with its unit
  PRIMARY KEY (topic, name)
) WITHOUT ROWID;
