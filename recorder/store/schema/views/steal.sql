-- Each steal: thief, victim, what was taken, and what the search had cost until then.
--   run: the run
--   process: the process
--   id: id of the event
--   ts: when, ns since the run's start
--   m: the M that stole
--   thief: the P it holds
--   victim: the P it stole from
--   first_g: the first G taken
--   n: how many were taken
--   victim_len: length of the victim's queue before
--   thief_len: length of the thief's queue before
--   passes: passes over all Ps until then
--   tried: victims looked at until then
--   taken_from: ring or runnext
CREATE VIEW steal AS
SELECT run, process, id, ts, m, p AS thief, a1 AS victim, g AS first_g, a2 AS n, a3 AS victim_len, a4 AS thief_len, a5 AS passes, a6 AS tried,
  CASE a7 WHEN 0 THEN 'ring' ELSE 'runnext' END AS taken_from
FROM event
WHERE kind = 40;
