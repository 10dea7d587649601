-- Each time a G was made runnable: who did it and how long it waited until it ran. Needs a sort: slow on many millions of rows.
--   run: the run
--   process: the process
--   id: id of the event that made it runnable
--   ready_ts: when that was, ns since the run's start
--   waker: the G that did it; NULL when none did (a timer, the network)
--   woken: the G
--   via: spawn, or what readied it
--   placed: the queue it went to; NULL for a spawn
--   start_ts: when it ran; NULL if it was moved on or never ran
--   latency_ns: start_ts - ready_ts, ns
CREATE VIEW wakeup AS
SELECT run, process, id, ready_ts, waker, woken, via, placed, start_ts, start_ts - ready_ts AS latency_ns
FROM (
  SELECT run, process, id, kind, ts AS ready_ts, by AS waker, g AS woken,
    CASE kind WHEN 10 THEN 'spawn' ELSE (SELECT json_extract(words, '$."' || e.a1 || '"') FROM vocabulary v WHERE v.kind = 15 AND v.field = 'via') END AS via,
    (SELECT json_extract(words, '$."' || e.a3 || '"') FROM vocabulary v WHERE v.kind = 15 AND v.field = 'placed') AS placed,
    CASE lead(kind) OVER of_g WHEN 11 THEN lead(ts) OVER of_g END AS start_ts
  FROM event e
  WHERE kind IN (10, 11, 15)
  WINDOW of_g AS (PARTITION BY run, process, g ORDER BY id)
)
WHERE kind IN (10, 15);
