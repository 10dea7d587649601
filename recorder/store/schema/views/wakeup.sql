-- Each time a G became runnable: how, by whom, and how long it waited until it ran. Needs a sort: slow on many millions of rows, where g_interval has it.
--   run: the run
--   process: the process
--   id: id of the event that made it runnable
--   ready_ts: when that was, ns since the run's start
--   waker: the G that did it; NULL when none did (a timer, the network) or it gave way itself
--   woken: the G
--   via: spawn, what readied it, or how it gave way: yield, preempt, syscall (the end of a system call that lost its P); unknown after a loss
--   placed: the queue it went to; NULL if that is unknown
--   start_ts: when it ran; NULL if it was moved on or never ran
--   latency_ns: start_ts - ready_ts, ns
CREATE VIEW wakeup AS
SELECT run, process, id, ready_ts, waker, woken,
  CASE kind WHEN 1 THEN 'unknown' WHEN 10 THEN 'spawn' WHEN 12 THEN 'yield' WHEN 13 THEN 'preempt' WHEN 19 THEN 'syscall'
    ELSE (SELECT json_extract(words, '$."' || a1 || '"') FROM vocabulary v WHERE v.kind = 15 AND v.field = 'via') END AS via,
  CASE WHEN kind <> 1 THEN
    (SELECT json_extract(words, '$."' || a3 || '"') FROM vocabulary v WHERE v.kind = 15 AND v.field = 'placed') END AS placed,
  start_ts, start_ts - ready_ts AS latency_ns
FROM (
  SELECT run, process, id, kind, ts AS ready_ts, by AS waker, g AS woken, a1, a3,
    CASE lead(kind) OVER of_g WHEN 11 THEN lead(ts) OVER of_g END AS start_ts
  FROM event
  WHERE kind IN (1, 10, 11, 12, 13, 15, 19)
  WINDOW of_g AS (PARTITION BY run, process, g ORDER BY id)
)
WHERE kind IN (10, 12, 13, 15, 19) OR (kind = 1 AND a1 = 1);
