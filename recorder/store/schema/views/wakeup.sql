-- Each time a G was made runnable: who did it and how long it waited until it ran. Needs a sort: slow on many millions of rows.
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
