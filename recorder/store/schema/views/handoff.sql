-- Each P that was passed on: by whom, to whom, and the system call or the world stop that made it so.
CREATE VIEW handoff AS
SELECT run, process, id, ts, m AS by_m, p, CASE a1 WHEN 0 THEN 'm' WHEN 1 THEN 'idle' ELSE 'stw' END AS "to", a2 AS to_m
FROM event
WHERE kind = 28;
