-- Each P that was passed on: by whom, to whom, and the system call or the world stop that made it so.
--   run: the run
--   process: the process
--   id: id of the event
--   ts: when, ns since the run's start
--   by_m: the M that passed it on
--   p: the P
--   to: where it went: m (an M), idle (the list of idle Ps), stw (the world stops)
--   to_m: the M that got it; NULL if none did
CREATE VIEW handoff AS
SELECT run, process, id, ts, m AS by_m, p, CASE a1 WHEN 0 THEN 'm' WHEN 1 THEN 'idle' ELSE 'stw' END AS "to", a2 AS to_m
FROM event
WHERE kind = 28;
